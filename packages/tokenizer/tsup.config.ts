import { defineConfig } from 'tsup'

const common = { sourcemap: true, target: 'node20' } as const

export default defineConfig([
  {
    ...common,
    entry: {
      index: 'src/index.ts',
      core: 'src/core.ts',
      'command-line': 'src/cli/command-line.ts',
    },
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
