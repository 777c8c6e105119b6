// Builds a Module Federation remote: dist/remoteEntry.js leaves window.MyPlugin, which has init and get.
import { readFileSync } from "node:fs";
import webpack from "webpack";

const { scope, modules } = JSON.parse(readFileSync(new URL("plugin.json", import.meta.url)));

// Hooks work only with the React that renders the page. It is window.React where a page has one (BrainDrive's has, and
// its share scope holds what other plugins bundled); elsewhere it is the React of the share scope.
const REACT_OF_THE_PAGE = `
${scope} = (({ init, get }, own) => ({
  get,
  init: (shared) => init((own ??= window.React ? { react: { [React.version]: { get: () => () => React, loaded: 1 } } } : shared)),
}))(${scope});`;

export default {
  entry: {},
  devtool: "source-map",
  output: {
    clean: true,
    publicPath: "auto", // chunks come from beside remoteEntry.js, wherever a page loads it from
    uniqueName: scope,
    chunkFilename: "[name].[contenthash:8].js",
    cssChunkFilename: "[name].[contenthash:8].css",
    assetModuleFilename: "[name].[contenthash:8][ext]",
  },
  experiments: { css: true },
  module: {
    rules: [
      { test: /\.[jt]sx?$/, exclude: /node_modules/, loader: "esbuild-loader", options: { target: "es2020" } },
      { test: /\.(svg|png|jpe?g|webp|woff2?)$/, type: "asset/resource" },
    ],
  },
  plugins: [
    new webpack.container.ModuleFederationPlugin({
      name: scope,
      filename: "remoteEntry.js",
      exposes: Object.fromEntries(modules.map(({ name }) => [`./${name}`, { import: `./src/${name}`, name: `module-${name}` }])),
      shared: { react: { singleton: true, import: false, requiredVersion: "^18.0.0" } },
    }),
    new webpack.BannerPlugin({ banner: REACT_OF_THE_PAGE, footer: true, raw: true, test: /remoteEntry\.js$/ }),
  ],
  resolve: { extensions: [".jsx", ".tsx", ".ts", ".js"] },
  devServer: {
    port: 5180,
    hot: false, // a page with the production build of React cannot replace modules: it reloads
    client: { webSocketURL: "ws://localhost:5180/ws" },
  },
};
