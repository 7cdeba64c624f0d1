import { defineConfig } from 'tsup'

const common = { sourcemap: true, target: 'node20' } as const

export default defineConfig([
  {
    ...common,
    entry: ['src/index.ts', 'src/core.ts'],
    format: ['esm', 'cjs'],
    dts: true,
    clean: true,
    shims: true, // import.meta.url in CommonJS
  },
  {
    ...common,
    entry: {
      cli: 'src/cli/bin.ts',
      'count-worker': 'src/node/count-worker.ts',
      'encode-worker': 'src/node/encode-worker.ts',
    },
    format: ['esm'],
  },
])
