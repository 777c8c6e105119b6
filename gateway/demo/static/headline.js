// The sentence above two pages: which version of a plugin each user has.
import { loadPlugins } from "./gateway.js";

export const readManifests = ({ api }, users) => Promise.all(users.map(({ token }) => loadPlugins(api, token)));

// [{slug, name, versions}] of the plugins that all these users have.
function common([plugins, ...others]) {
  return plugins
    .map(({ slug, name, version }) => {
      const versionIn = (manifest) => manifest.find((plugin) => plugin.slug === slug)?.version;
      return { slug, name, versions: [version, ...others.map(versionIn)] };
    })
    .filter(({ versions }) => !versions.includes(undefined));
}

export const differences = (manifests) => common(manifests).filter(({ versions }) => new Set(versions).size > 1);

export function headlineOf(chosen, manifests) {
  const [differing, both] = [differences(manifests), common(manifests)];
  const names = [...new Set(chosen.map(({ name }) => name))].join(" and ");
  if (both.length === 0) return `${names} have no plugin in common`;
  if (differing.length === 0) return both.map(({ name, versions }) => `${name}: ${versions[0]} for ${names}`).join(" · ");
  return differing
    .map(({ name, versions }) => `${name}: ${chosen.map((user, side) => `${versions[side]} for ${user.name}`).join(", ")}`)
    .join(" · ");
}
