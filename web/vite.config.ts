/** How the page is built: one script, one style sheet, nothing inline, nothing from elsewhere. */
import { defineConfig } from "vitest/config";

// Where `npm run dev` finds a control plane.
const controlPlane = process.env["PGHERD_CONTROL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./",
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    // The polyfill is an inline-like extra script; every browser that runs ES2022 preloads by itself.
    modulePreload: { polyfill: false },
    // Data URLs would need `img-src data:` in the content security policy.
    assetsInlineLimit: 0,
    reportCompressedSize: true,
  },
  server: { proxy: { "/api": controlPlane } },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
