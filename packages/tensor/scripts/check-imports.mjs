// What must never depend on what (ARCHITECTURE-DETAILS.md, section 12, rules 1-3, 6 and 8), read from the imports and
// includes themselves. `node check-imports.mjs [root]` prints every breach; test/imports.test.ts runs it in `npm test`.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'

const builtin = new Set(builtinModules)
const isBuiltin = (name) => name.startsWith('node:') || builtin.has(name.split('/')[0])
/** `@scope/name/sub` → `@scope/name` */
const packageOf = (name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/')

// Rules 2 and 3: what each package must not import from its src, beyond what its package.json leaves out already.
const forbidden = {
  '@shakti/tensor': [/^@shakti\/(?!kernels(\/|$))/, /^zod(\/|$)/, /^sharp(\/|$)/],
  '@shakti/nn': [/^(node:)?fs(\/|$)/, /^@shakti\/(?!tensor(\/|$))/, /^zod(\/|$)/, /^sharp(\/|$)/],
  '@shakti/tokenizer': [/^@shakti\//],
  '@shakti/trainer': [/^@shakti\/(vlm|tokenizer)(\/|$)/],
  '@shakti/vlm': [/^@shakti\/trainer(\/|$)/],
}
const modelNames = /shakti_?-?vlm|llama|qwen|siglip/i
const testOnly = ['@shakti/cuda-sim', 'uvu', 'tsx', 'tsup', 'typescript', '@shakti/bench']
// Rule 8: who may read the environment.
const mayReadEnv = [
  /^packages\/tensor\/src\/device\.ts$/,
  /^kernels\/(lib|scripts)\//,
  /(^|\/)cli(\/|\.ts$)/,
  /^(examples|bench)\//,
  /\/(bench|scripts|test)\//,
]

function* files(folder, pattern) {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (['node_modules', 'dist', 'build', '.cache', '.turbo', 'runs'].includes(entry.name)) continue
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* files(path, pattern)
    else if (pattern.test(entry.name)) yield path
  }
}

function readsEnv(source) {
  let found = false
  const visit = (node) => {
    if (
      ts.isPropertyAccessExpression(node) &&
      node.name.text === 'env' &&
      /\bprocess$/.test(node.expression.getText(source))
    ) {
      found = true
    }
    if (!found) ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** Names in code and string literals, not in comments. */
function namesAModel(source) {
  let found
  const visit = (node) => {
    if ((ts.isIdentifier(node) || ts.isStringLiteralLike(node)) && modelNames.test(node.text))
      found = node.text
    if (!found) ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function checkNative(root, report) {
  for (const path of files(join(root, 'kernels/src'), /\.(h|cc|cpp|cu|inc)$/)) {
    const name = relative(root, path)
    const inAddon = name.startsWith(join('kernels', 'src', 'addon') + sep)
    const matches = readFileSync(path, 'utf8').matchAll(
      /^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]/gm,
    )
    for (const [, header] of matches) {
      if (!inAddon && /^(nan|v8|node|uv|libplatform|cppgc)([-_./]|$)/.test(header)) {
        report(name, `includes ${header}; Node and V8 belong to kernels/src/addon alone (rule 1)`)
      }
    }
  }
}

function checkModule(root, pkg, path, report) {
  const name = relative(root, path)
  const text = readFileSync(path, 'utf8')
  const inSrc = path.startsWith(join(pkg.folder, 'src') + sep)
  const declared = new Set([
    ...Object.keys(pkg.json.dependencies ?? {}),
    ...Object.keys(pkg.json.peerDependencies ?? {}),
    ...Object.keys(pkg.json.optionalDependencies ?? {}),
    ...(inSrc && !pkg.json.private ? [] : Object.keys(pkg.json.devDependencies ?? {})),
  ])
  for (const { fileName: to } of ts.preProcessFile(text, true, true).importedFiles) {
    if (to.startsWith('.')) {
      const target = resolve(dirname(path), to)
      if (!(target + sep).startsWith(pkg.folder + sep)) {
        // A test may borrow another package's test helpers; nobody borrows its sources (rule 6).
        const borrowed = /[\\/](test|scripts)[\\/]/.test(relative(root, target))
        if (inSrc || !borrowed) report(name, `imports ${to} out of another package (rule 6)`)
      }
      continue
    }
    if (/^@shakti\/[^/]+\/(src|dist|test)(\/|$)/.test(to))
      report(name, `imports ${to}: inside a package (rule 6)`)
    if (!inSrc) continue
    for (const pattern of forbidden[pkg.json.name] ?? []) {
      if (pattern.test(to))
        report(name, `imports ${to}, which ${pkg.json.name} must not know (rules 2, 3)`)
    }
    if (!isBuiltin(to) && packageOf(to) !== pkg.json.name && !declared.has(packageOf(to))) {
      report(name, `imports ${to}, which its package.json does not list`)
    }
  }
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true)
  const slashed = name.split(sep).join('/')
  if (readsEnv(source) && !mayReadEnv.some((p) => p.test(slashed))) {
    report(name, 'reads process.env; only device.ts, kernels/lib and command lines may (rule 8)')
  }
  if (inSrc && pkg.json.name === '@shakti/nn') {
    const model = namesAModel(source)
    if (model) report(name, `names the model '${model}' (rule 2)`)
  }
}

/** @returns {string[]} one line a breach */
export function checkImports(root) {
  const breaches = []
  const report = (file, what) => breaches.push(`${file}: ${what}`)
  checkNative(root, report)
  const folders = [join(root, 'kernels'), join(root, 'bench')]
  for (const group of ['packages', 'examples']) {
    const base = join(root, group)
    if (existsSync(base)) for (const f of readdirSync(base)) folders.push(join(base, f))
  }
  for (const folder of folders) {
    const manifest = join(folder, 'package.json')
    if (!existsSync(manifest)) continue
    const pkg = { folder, json: JSON.parse(readFileSync(manifest, 'utf8')) }
    for (const dep of Object.keys(pkg.json.private ? {} : (pkg.json.dependencies ?? {}))) {
      if (testOnly.includes(dep))
        report(relative(root, manifest), `depends on ${dep}, a tool for tests (rule 6)`)
    }
    for (const path of files(folder, /\.[cm]?[jt]s$/)) checkModule(root, pkg, path, report)
  }
  return breaches
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const root = resolve(process.argv[2] ?? fileURLToPath(new URL('../../..', import.meta.url)))
  const breaches = checkImports(root)
  for (const line of breaches) console.error(line)
  console.log(breaches.length === 0 ? 'imports: no breach' : `imports: ${breaches.length} breaches`)
  process.exitCode = breaches.length === 0 ? 0 : 1
}
