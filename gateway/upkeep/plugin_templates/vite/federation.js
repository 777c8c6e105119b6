// Makes what Vite builds a Module Federation remote. Vite builds modules that import each other; this adds the entry,
// a plain script for a script tag, and takes React from the page.
import { createRequire } from "node:module";

const NAMES_OF_REACT = Object.keys(createRequire(import.meta.url)("react")).join(", ");
const CONTAINER = "virtual:container";
// Libraries import it. React's own is a CommonJS module, which Vite's dev server serves only if it may bundle React.
const JSX_RUNTIME = `
  import React from "react";
  export const jsx = (type, props, key) => React.createElement(type, key === undefined ? props : { ...props, key });
  export { jsx as jsxs, jsx as jsxDEV };
  export const { Fragment } = React;`;

export function federation({ scope, modules }) {
  const key = JSON.stringify(`React of ${scope}`);
  const sources = {
    [CONTAINER]: `
      const modules = { ${modules.map(({ name }) => `"./${name}": () => import("/src/${name}")`)} };
      export async function get(name) {
        if (!modules[name]) throw new Error("${scope} has no module " + name);
        const module = await modules[name]();
        return () => module;
      }`,
    react: `const React = window[${key}]; export default React; export const { ${NAMES_OF_REACT} } = React;`,
    "react/jsx-runtime": JSX_RUNTIME,
    "react/jsx-dev-runtime": JSX_RUNTIME,
  };
  // Hooks work only with the React that renders the page. It is window.React where a page has one (BrainDrive's has, and
  // its share scope holds what other plugins bundled); elsewhere it is the React of the share scope.
  const entry = (container) => `
    window.${scope} = ((container) => ({
      async init({ react = {} }) {
        const version = Object.keys(react).find((version) => version.startsWith("18."));
        window[${key}] = window.React ?? (await react[version]?.get())?.();
        if (!window[${key}]) throw new Error("${scope} needs React 18, and the page shares none");
      },
      get: async (name) => (await import(container)).get(name),
    }))(new URL("${container}", document.currentScript.src));`;

  return {
    name: "federation",
    enforce: "pre",
    config: () => ({
      build: { rollupOptions: { input: { container: CONTAINER }, preserveEntrySignatures: "allow-extension" } },
      optimizeDeps: { entries: "src/**", exclude: ["react"] },
      resolve: { extensions: [".jsx", ".tsx", ".ts", ".js"] },
    }),
    resolveId: (id) => (sources[id] ? `\0${id}` : undefined),
    load: (id) => sources[id.slice(1)],
    generateBundle(_options, bundle) {
      const { fileName } = Object.values(bundle).find((chunk) => chunk.isEntry);
      this.emitFile({ type: "asset", fileName: "remoteEntry.js", source: entry(`./${fileName}`) });
    },
    configureServer({ config, middlewares }) {
      const { origin } = config.server;
      middlewares.use("/remoteEntry.js", (_request, response) => {
        response.setHeader("Content-Type", "text/javascript");
        response.end(`import("${origin}/@vite/client");${entry(`${origin}/@id/__x00__${CONTAINER}`)}`);
      });
    },
  };
}
