// What a user of the packed packages gets: publint and are-the-types-wrong on each tarball, then a small project that
// installs the tarballs, is type-checked against their .d.ts (import and require) and run both ways. Needs built
// packages; `npm run check` at the root builds first.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const work = join(root, 'packages/tensor/.cache/consumer')
const folders = [
  'kernels',
  'packages/tensor',
  'packages/nn',
  'packages/tokenizer',
  'packages/shakti-vlm',
  'packages/trainer',
  'packages/cuda-sim',
]
// Commands alone, nothing to import.
const commands = { 'packages/cli': 'shakti' }
let failures = 0

function run(what, command, args, cwd = root) {
  try {
    execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    console.log(`ok   ${what}`)
  } catch (error) {
    failures++
    console.log(
      `FAIL ${what}\n${`${error.stdout}${error.stderr}`.trimEnd().replace(/^/gm, '    ')}`,
    )
  }
}
const bin = (name) => join(root, 'node_modules/.bin', name)

rmSync(work, { recursive: true, force: true })
mkdirSync(join(work, 'tarballs'), { recursive: true })
const packages = []
for (const folder of [...folders, ...Object.keys(commands)]) {
  const json = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
  if (!existsSync(join(root, folder, json.main ?? json.bin[commands[folder]]))) {
    console.log(`FAIL ${json.name} is not built`)
    failures++
    continue
  }
  const packed = execFileSync(
    'npm',
    ['pack', '--json', '--pack-destination', join(work, 'tarballs')],
    {
      cwd: join(root, folder),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  const tarball = join(work, 'tarballs', JSON.parse(packed)[0].filename)
  const target = join(work, 'node_modules', json.name)
  mkdirSync(target, { recursive: true })
  execFileSync('tar', ['xzf', tarball, '--strip-components=1', '-C', target])
  run(`${json.name} publint`, bin('publint'), ['run', '--strict', target])
  if (folder in commands) continue
  packages.push(json.name)
  // The addon's package is CommonJS by nature; our others have both.
  const rules = json.name === '@shakti/kernels' ? ['--ignore-rules', 'cjs-resolves-to-esm'] : []
  run(`${json.name} types (attw)`, bin('attw'), [tarball, '--profile', 'node16', ...rules])
}

// Names from every package, so that a .d.ts that lost one fails here.
const use = `
const x: Tensor = tensor([[1, 2], [3, 4]], { requiresGrad: true })
const y: Tensor = x.matmul(x).softmax(-1).sum([0, 1], { keepDim: true })
y.backward()
const shape: readonly number[] = x.grad!.shape
const wrong = (): void => {
  // @ts-expect-error no such method
  x.nothing()
  // @ts-expect-error a shape is numbers
  x.reshape(['a'])
}
void wrong
if (shape.length !== 2) throw new Error('wrong shape')
for (const [name, module] of Object.entries(others)) {
  if (Object.keys(module).length < 2) throw new Error(name + ' exports nothing')
}
`
const others = packages.filter((name) => !['@shakti/kernels', '@shakti/tensor'].includes(name))
const local = (name) => name.split('/')[1].replaceAll('-', '_')
const record = `const others: Record<string, object> = { ${others.map(local).join(', ')} }`
writeFileSync(
  join(work, 'package.json'),
  JSON.stringify({ name: 'consumer', private: true, type: 'module' }),
)
writeFileSync(
  join(work, 'tsconfig.json'),
  JSON.stringify({
    compilerOptions: {
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'],
      module: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: false,
      outDir: 'out',
      rootDir: '.',
      types: ['node'],
    },
    files: ['esm.mts', 'cjs.cts'],
  }),
)
writeFileSync(
  join(work, 'esm.mts'),
  `import { tensor, type Tensor } from '@shakti/tensor'
${others.map((name) => `import * as ${local(name)} from '${name}'`).join('\n')}
${record}${use}`,
)
writeFileSync(
  join(work, 'cjs.cts'),
  `import tensors = require('@shakti/tensor')
${others.map((name) => `import ${local(name)} = require('${name}')`).join('\n')}
import type { Tensor } from '@shakti/tensor'
const { tensor } = tensors
${record}${use}`,
)
if (packages.includes('@shakti/tensor')) {
  const addon = join(root, 'kernels/build/Release/shakti.node')
  const inside = join(work, 'node_modules/@shakti/kernels/build/Release')
  if (!existsSync(join(inside, 'shakti.node'))) {
    mkdirSync(inside, { recursive: true })
    cpSync(addon, join(inside, 'shakti.node'))
  }
  run('a consumer compiles against the packed .d.ts', bin('tsc'), ['-p', work])
  run('a consumer runs by import', process.execPath, ['out/esm.mjs'], work)
  run('a consumer runs by require', process.execPath, ['out/cjs.cjs'], work)
  for (const [folder, name] of Object.entries(commands)) {
    const json = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const file = join('node_modules', json.name, json.bin[name])
    run(`the command ${name} runs`, process.execPath, [file, '--help'], work)
  }
}
console.log(failures === 0 ? 'exports: all good' : `exports: ${failures} failures`)
process.exitCode = failures === 0 ? 0 : 1
