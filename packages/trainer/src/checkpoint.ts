// Checkpoints that a crash at any moment leaves whole: a folder is written under a temporary name, synced, renamed. Its
// manifest holds size and SHA-256 of each file, so a damaged one is noticed and an older one taken.
import {
  loadSafetensors,
  saveSafetensors,
  ShaktiError,
  type RngState,
  type Tensor,
} from '@shakti/tensor'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import {
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import type { HistoryState } from './history.js'

/** What a run has to know to go on, beside the tensors. Plain JSON. */
export interface RunState {
  stage: string
  /** Steps done. The data's cursor too, since batches are a function of the step. */
  step: number
  /** The stage is over; only the model is in the checkpoint. */
  final: boolean
  /** The settings that must be the same to go on. */
  settings: Record<string, unknown>
  optimizerSteps: number
  rng: RngState
  history: HistoryState
  tokens: number
  seconds: number
  evaluations: { step: number; [metric: string]: number }[]
  warnings: { code: string; message: string }[]
  /** Hash of the frozen weights at the start of the stage. */
  frozen: { parameters: number; hash: string } | null
  textLoss: { before: number; after?: number } | null
}

export interface Checkpoint {
  state: RunState
  model: Record<string, Tensor>
  /** Absent in the final checkpoint of a stage. */
  optimizer?: Record<string, Tensor>
}

export interface Checkpointer {
  save(checkpoint: Checkpoint): Promise<void>
  /** The newest whole checkpoint of a stage, its final one if there is one. The caller disposes the tensors. */
  load(stage: string): Promise<Checkpoint | undefined>
}

interface Manifest {
  format: 'shakti-trainer'
  version: 1
  files: Record<string, { bytes: number; sha256: string }>
  state: RunState
  /** SHA-256 of the JSON of `files` and `state`. */
  sha256: string
}

const stageName = /^[A-Za-z0-9_][\w.-]{0,99}$/
const folderName = /^(.+)-(final|step-(\d{8,}))(?:\.(\d+))?$/

/** Refuses names that would not be one folder's. */
export function checkStageName(name: string): void {
  if (!stageName.test(name)) {
    throw new ShaktiError(
      'checkpoint',
      `stage name '${name}' may hold letters, digits, '.', '_' and '-' (at most 100), since folders are named by it.`,
    )
  }
}

const digest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex')

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }))
    hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  await writeFile(path, text)
  await sync(path)
}

function bytesOf(tensors: Readonly<Record<string, Tensor>>): number {
  const size = { f64: 8, i64: 8, f32: 4, i32: 4, bf16: 2, f16: 2, u8: 1, bool: 1 }
  return Object.values(tensors).reduce((n, t) => n + t.numel * size[t.dtype], 0)
}

export interface FolderCheckpointerOptions {
  /** Checkpoints kept of a stage in progress; default 2, so that one is whole while another is damaged. */
  keep?: number
  /** Told about checkpoints that were passed over because they are damaged. Default: console.warn. */
  onProblem?: (message: string) => void
}

/** Checkpoints as folders: `<stage>-step-00000300/` and `<stage>-final/`, each with safetensors files and `state.json`. */
export class FolderCheckpointer implements Checkpointer {
  readonly folder: string
  readonly #keep: number
  readonly #onProblem: (message: string) => void

  constructor(folder: string, options: FolderCheckpointerOptions = {}) {
    const { keep = 2, onProblem = (m: string): void => console.warn(m) } = options
    if (!Number.isInteger(keep) || keep < 1)
      throw new ShaktiError('checkpoint', `keep is ${keep}. It must be an integer from 1.`)
    this.folder = folder
    this.#keep = keep
    this.#onProblem = onProblem
  }

  async save({ state, model, optimizer }: Checkpoint): Promise<void> {
    checkStageName(state.stage)
    await mkdir(this.folder, { recursive: true })
    await this.#checkSpace(model, optimizer ?? {})
    const temporary = join(this.folder, `.tmp-${process.pid}-${randomBytes(4).toString('hex')}`)
    await mkdir(temporary)
    let name: string
    try {
      const files: Manifest['files'] = {}
      for (const [name, tensors] of Object.entries({
        model,
        ...(optimizer ? { optimizer } : {}),
      })) {
        const file = `${name}.safetensors`
        const path = join(temporary, file)
        await saveSafetensors(path, tensors)
        files[file] = { bytes: (await stat(path)).size, sha256: await hashFile(path) }
      }
      const manifest: Manifest = {
        format: 'shakti-trainer',
        version: 1,
        files,
        state,
        sha256: digest({ files, state }),
      }
      await writeSynced(join(temporary, 'state.json'), JSON.stringify(manifest))
      await sync(temporary)
      name = await this.#freeName(state)
      await rename(temporary, join(this.folder, name))
      await sync(this.folder)
      await this.#point(name)
    } catch (error) {
      await rm(temporary, { recursive: true, force: true })
      throw error
    }
    await this.#clean(state, name)
  }

  /** @throws ShaktiError when there are checkpoints of the stage, and all are damaged */
  async load(stage: string): Promise<Checkpoint | undefined> {
    checkStageName(stage)
    const problems: string[] = []
    for (const { name } of await this.#list(stage)) {
      try {
        return await this.#read(join(this.folder, name), stage)
      } catch (error) {
        const problem = `${join(this.folder, name)}: ${(error as Error).message}`
        problems.push(problem)
        this.#onProblem(`checkpoint passed over, ${problem}`)
      }
    }
    // Starting anew would look like a run that goes on, and its first save would end what can still be repaired.
    if (problems.length > 0)
      throw new ShaktiError(
        'checkpoint',
        `no checkpoint of stage '${stage}' is whole. ${problems.join('. ')}. Put back a copy, or remove these folders to train the stage anew.`,
      )
    return undefined
  }

  /** The folder of the checkpoint written last, of any stage; from the file `latest`. */
  async latest(): Promise<string | undefined> {
    const name = await readFile(join(this.folder, 'latest'), 'utf8').catch(() => undefined)
    return name !== undefined && folderName.test(name.trim())
      ? join(this.folder, name.trim())
      : undefined
  }

  /** Newest first; a final one before all. */
  async #list(stage: string): Promise<{ name: string; step: number; revision: number }[]> {
    const names = await readdir(this.folder).catch(() => [] as string[])
    return names
      .flatMap((name) => {
        const m = folderName.exec(name)
        if (m?.[1] !== stage) return []
        return [
          { name, step: m[2] === 'final' ? Infinity : Number(m[3]), revision: Number(m[4] ?? 0) },
        ]
      })
      .sort((a, b) => (a.step === b.step ? b.revision - a.revision : b.step - a.step))
  }

  // A folder in place is never replaced, since that takes two renames; a second save of a step gets a number.
  async #freeName({ stage, step, final }: RunState): Promise<string> {
    const base = final ? `${stage}-final` : `${stage}-step-${String(step).padStart(8, '0')}`
    const taken = new Set(await readdir(this.folder))
    if (!taken.has(base)) return base
    let n = 1
    while (taken.has(`${base}.${n}`)) n++
    return `${base}.${n}`
  }

  async #point(name: string): Promise<void> {
    const temporary = join(
      this.folder,
      `.tmp-latest-${process.pid}-${randomBytes(4).toString('hex')}`,
    )
    await writeSynced(temporary, name)
    await rename(temporary, join(this.folder, 'latest'))
    await sync(this.folder)
  }

  /** The newest stay, counted from the one just written; later steps than its own are of a past that was given up. */
  async #clean({ stage, step, final }: RunState, written: string): Promise<void> {
    const others = (await this.#list(stage)).filter((c) => c.name !== written)
    const ranked = final
      ? others
      : [...others.filter((c) => c.step <= step), ...others.filter((c) => c.step > step)]
    for (const { name } of ranked.slice(final ? 0 : this.#keep - 1)) {
      // Renamed first: a folder that is half deleted must not look like a checkpoint.
      const gone = join(this.folder, `.tmp-deleted-${randomBytes(4).toString('hex')}`)
      await rename(join(this.folder, name), gone)
      await rm(gone, { recursive: true, force: true })
    }
    await this.#sweep()
  }

  /** What crashed processes left behind. Another process may be saving here: its files are left alone. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      const m = /^\.tmp-(?:latest-)?(\d+)-|^\.tmp-deleted-/.exec(name)
      if (!m) continue
      const path = join(this.folder, name)
      if (m[1] !== undefined && (await inUse(path, Number(m[1])))) continue
      await rm(path, { recursive: true, force: true })
    }
  }

  async #checkSpace(...parts: Readonly<Record<string, Tensor>>[]): Promise<void> {
    const need = parts.reduce((n, p) => n + bytesOf(p), 0) + (1 << 20)
    const { bavail, bsize } = await statfs(this.folder)
    if (bavail * bsize < need) {
      throw new ShaktiError(
        'checkpoint',
        `${this.folder} has ${bavail * bsize} bytes free, a checkpoint takes ${need}. Free some space; the older checkpoints are untouched.`,
      )
    }
  }

  async #read(folder: string, stage: string): Promise<Checkpoint> {
    const manifest = parseManifest(await readManifest(join(folder, 'state.json')))
    if (manifest.state.stage !== stage)
      throw new Error(`it belongs to stage '${manifest.state.stage}'`)
    for (const [file, { bytes, sha256 }] of Object.entries(manifest.files)) {
      if (!/^(model|optimizer)\.safetensors$/.test(file))
        throw new Error(`it names a file '${file.slice(0, 50)}'`)
      const path = join(folder, file)
      const size = (
        await stat(path).catch(() => {
          throw new Error(`${file} is missing`)
        })
      ).size
      if (size !== bytes) throw new Error(`${file} has ${size} bytes, not ${bytes}`)
      if ((await hashFile(path)) !== sha256)
        throw new Error(`${file} was changed since it was written (SHA-256 differs)`)
    }
    if (!manifest.files['model.safetensors']) throw new Error('it holds no model')
    const tensors = (name: string): Record<string, Tensor> =>
      loadSafetensors(join(folder, `${name}.safetensors`)).tensors
    return {
      state: manifest.state,
      model: tensors('model'),
      ...(manifest.files['optimizer.safetensors'] ? { optimizer: tensors('optimizer') } : {}),
    }
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Whether a temporary file's process may still write to it. */
async function inUse(path: string, pid: number): Promise<boolean> {
  if (pid !== process.pid) return alive(pid)
  // In a container every start may get the same number: what is older than this process is not its own.
  const started = Date.now() - process.uptime() * 1000
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }))
  return mtimeMs >= started
}

// 2,000 points with a dozen metrics take less than a megabyte.
const maxManifestBytes = 64 << 20

async function readManifest(path: string): Promise<string> {
  const { size } = await stat(path).catch(() => {
    throw new Error('state.json is missing')
  })
  if (size > maxManifestBytes)
    throw new Error(`state.json has ${size} bytes, at most ${maxManifestBytes} are read`)
  return readFile(path, 'utf8')
}

type Test = (value: unknown) => boolean
const isRecord = (v: unknown): v is Record<string, unknown> =>
  typeof v === 'object' && v !== null && !Array.isArray(v)
const isCount: Test = (v) => Number.isSafeInteger(v) && (v as number) >= 0
const isNumber: Test = (v) => typeof v === 'number'
const isList = (item: Test, most: number): Test => {
  return (v) => Array.isArray(v) && v.length <= most && v.every(item)
}
const has = (tests: Readonly<Record<string, Test>>): Test => {
  return (v) => isRecord(v) && Object.entries(tests).every(([k, test]) => test(v[k]))
}
const orNull = (test: Test): Test => {
  return (v) => v === null || test(v)
}
const isText: Test = (v) => typeof v === 'string'

const stateFields: Readonly<Record<keyof RunState, readonly [Test, string]>> = {
  stage: [isText, 'a string'],
  step: [isCount, 'an integer from 0'],
  final: [(v) => typeof v === 'boolean', 'true or false'],
  settings: [isRecord, 'an object'],
  optimizerSteps: [isCount, 'an integer from 0'],
  rng: [has({ seed: isCount, offset: isCount }), 'a seed and an offset, integers from 0'],
  history: [
    has({
      every: (v) => isCount(v) && v !== 0,
      points: isList(has({ step: isCount, loss: isNumber }), 10_000),
      recent: isList(isNumber, 50),
      byKind: (v) => isRecord(v) && Object.values(v).every(isList(isNumber, 50)),
    }),
    "'every' from 1, at most 10,000 'points' with step and loss, at most 50 'recent' numbers and of each kind in 'byKind'",
  ],
  tokens: [isCount, 'an integer from 0'],
  seconds: [isNumber, 'a number'],
  evaluations: [isList(has({ step: isCount }), 1e6), 'a list of objects with a step'],
  warnings: [isList(has({ code: isText, message: isText }), 1e4), 'a list of code and message'],
  frozen: [
    orNull(has({ parameters: isCount, hash: isText })),
    'null, or a number of parameters and a hash',
  ],
  textLoss: [orNull(has({ before: orNull(isNumber) })), "null, or an object with 'before'"],
}

function parseManifest(text: string): Manifest {
  let m: unknown
  try {
    m = JSON.parse(text)
  } catch (error) {
    throw new Error(`state.json is not JSON, it may be cut short: ${(error as Error).message}`, {
      cause: error,
    })
  }
  if (!isRecord(m) || m['format'] !== 'shakti-trainer')
    throw new Error("state.json: 'format' is not 'shakti-trainer'")
  const { version, files, state, sha256 } = m
  if (version !== 1)
    throw new Error(`state.json: 'version' is ${String(version)}, this program reads 1`)
  if (!isRecord(files) || !isRecord(state))
    throw new Error("state.json: 'files' and 'state' must be objects")
  if (digest({ files, state }) !== sha256)
    throw new Error("state.json was changed since it was written ('sha256' differs)")
  for (const [name, [test, should]] of Object.entries(stateFields)) {
    if (!test(state[name])) throw new Error(`state.json: 'state.${name}' must be ${should}`)
  }
  for (const [file, entry] of Object.entries(files)) {
    if (!has({ bytes: isCount, sha256: isText })(entry))
      throw new Error(`state.json: 'files.${file.slice(0, 50)}' must have bytes and sha256`)
  }
  return m as unknown as Manifest
}
