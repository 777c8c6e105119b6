// Builds one version of a plugin: a Module Federation remote whose component shows what an npm package exports.
// `node build.mjs FOLDER`, run where webpack is installed. FOLDER/plugin.json says in `bundle` how:
// chunks: webpack's own federation, an entry with chunks. manifest: that of @module-federation/enhanced, which also
// writes mf-manifest.json. single: all in the entry, which takes React from the page.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const installed = createRequire(`${process.cwd()}/`);
const webpack = installed("webpack");
const folder = process.argv[2];
const { scope, bundle } = JSON.parse(readFileSync(`${folder}/plugin.json`));
const Federation =
  bundle === "manifest"
    ? installed("@module-federation/enhanced/webpack").ModuleFederationPlugin
    : webpack.container.ModuleFederationPlugin;

const isSingle = bundle === "single";

const compiler = webpack({
  mode: "production",
  context: folder,
  entry: {},
  performance: false,
  output: {
    path: `${folder}/dist`,
    publicPath: "auto",
    uniqueName: scope,
    filename: "remoteEntry.js", // of the only chunk, with `single`
    chunkFilename: "[name].[contenthash:8].js",
  },
  plugins: [
    new Federation({
      name: scope,
      filename: "remoteEntry.js",
      exposes: { "./Board": { import: "./board.js", name: "board" } },
      shared: isSingle ? {} : { react: { singleton: true, import: false, requiredVersion: "^18.0.0" } },
      ...(bundle === "manifest" && { manifest: true, dts: false }),
    }),
    ...(isSingle ? [new webpack.optimize.LimitChunkCountPlugin({ maxChunks: 1 })] : []),
  ],
  externals: isSingle ? { react: "React" } : {},
});
compiler.run((error, stats) => {
  if (!error && !stats.hasErrors()) return;
  console.error(String(error ?? stats.toString({ all: false, errors: true })));
  process.exit(1);
});
