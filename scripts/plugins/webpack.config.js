// One webpack configuration per folder plugins/shared/<slug>/v<version>: a Module Federation remote
// that exposes the modules its plugin.json names. File names carry no hash, as in real plugins: the same
// name holds other bytes in another version, and a server that mixes versions breaks the page.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import webpack from "webpack";

const shared = fileURLToPath(new URL("../../plugins/shared", import.meta.url));
const installed = (name) => fileURLToPath(import.meta.resolve(name));
const readJSON = (...parts) => JSON.parse(readFileSync(path.join(...parts), "utf8"));

const folders = readdirSync(shared).flatMap((slug) =>
  readdirSync(path.join(shared, slug))
    .filter((name) => name.startsWith("v"))
    .map((name) => path.join(shared, slug, name)),
);

export default folders.map((folder) => {
  const plugin = readPlugin(folder);
  return {
    name: `${plugin.slug} ${plugin.version}`,
    mode: "production",
    target: ["web", "es2020"],
    context: folder,
    entry: {},
    devtool: false,
    output: {
      path: path.join(folder, "dist"),
      clean: true,
      publicPath: "auto", // chunks come from beside the script, pin and all
      uniqueName: plugin.slug,
      chunkFilename: "[name].js",
      assetModuleFilename: "[name][ext]",
    },
    optimization: { moduleIds: "named", chunkIds: "named", splitChunks: false },
    module: {
      rules: [
        {
          test: /\.jsx$/,
          loader: installed("babel-loader"),
          options: {
            babelrc: false,
            configFile: false,
            // "classic" needs react alone; "automatic" would bundle react/jsx-runtime.
            presets: [[installed("@babel/preset-react"), { runtime: "classic" }]],
          },
        },
        { test: /\.svg$/, type: "asset/resource" },
      ],
    },
    plugins: [
      // After minification, which would drop it: each file says of which version it is.
      new webpack.BannerPlugin({
        banner: `${plugin.slug} ${plugin.version}`,
        test: /\.js$/,
        stage: webpack.Compilation.PROCESS_ASSETS_STAGE_REPORT,
      }),
      new webpack.container.ModuleFederationPlugin({
        name: plugin.scope,
        filename: "remoteEntry.js",
        exposes: Object.fromEntries(plugin.modules.map(({ name }) => [`./${name}`, { import: `./src/${name}.jsx`, name }])),
        // import: false: the host brings React, nothing is bundled to fall back on.
        shared: { react: { singleton: true, import: false, requiredVersion: "^18.0.0" } },
      }),
    ],
    stats: "errors-warnings",
  };
});

// plugin.json, once folder, plugin.json and package.json agree on what this is.
function readPlugin(folder) {
  const plugin = readJSON(folder, "plugin.json");
  const { version } = readJSON(folder, "package.json");
  const named = path.join(plugin.slug, `v${plugin.version}`);
  if (path.relative(shared, folder) !== named || version !== plugin.version) {
    throw new Error(`${folder}: plugin.json says ${named}, package.json says ${version}`);
  }
  return plugin;
}
