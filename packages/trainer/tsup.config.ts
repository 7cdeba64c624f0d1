import { defineConfig } from 'tsup'

export default defineConfig({
  entry: { index: 'src/index.ts', report: 'src/report/index.ts' },
  format: ['esm', 'cjs'],
  // d3 comes as ES modules alone, which `require` loads only from Node 20.19 on.
  noExternal: [/^d3-/],
  dts: true,
  clean: true,
  sourcemap: true,
  target: 'node20',
})
