// Builds dist/remoteEntry.js, which leaves window.MyPlugin with init and get, and chunks beside it.
import { readFileSync } from "node:fs";
import { defineConfig } from "vite";
import { federation } from "./federation.js";

const plugin = JSON.parse(readFileSync(new URL("plugin.json", import.meta.url)));

export default defineConfig({
  base: "./", // chunks come from beside remoteEntry.js, wherever a page loads it from
  plugins: [federation(plugin)],
  build: { target: "es2020", assetsDir: "", assetsInlineLimit: 0, sourcemap: true, modulePreload: false },
  server: { port: 5180, strictPort: true, origin: "http://localhost:5180" },
});
