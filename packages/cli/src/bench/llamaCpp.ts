// llama.cpp through node-llama-cpp, which is no dependency: it brings binaries of every platform (700 MB). Tokens in, tokens out,
// on the CPU, with memory mapped, the whole prompt as one batch.

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ShaktiError } from '@shakti/tensor'
import type { Io } from '../io.js'
import type { Round, Work } from './ours.js'

/** The few names of node-llama-cpp 3 that are used; its types come with the package, which need not be here. */
interface Binding {
  getLlama(options: object): Promise<Llama>
}
interface Llama {
  loadModel(options: object): Promise<Model>
  dispose(): Promise<void>
}
interface Model {
  createContext(options: object): Promise<Context>
  dispose(): Promise<void>
}
interface Context {
  readonly currentThreads: number
  getSequence(): Sequence
  dispose(): Promise<void>
}
interface Sequence {
  clearHistory(): Promise<void>
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>
  controlledEvaluate(
    tokens: readonly (readonly [number, object])[],
  ): Promise<({ next: { token?: number } } | undefined)[]>
}

export interface FoundLlamaCpp {
  readonly binding: Binding
  readonly version: string
}

export type { Llama }

/** The engine, on so many threads of the CPU; one for all models. */
export const openLlamaCpp = ({ binding }: FoundLlamaCpp, threads: number): Promise<Llama> =>
  binding.getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    logLevel: 'error',
    maxThreads: threads,
  })

/**
 * node-llama-cpp where the command was called, or in the folder that SHAKTI_LLAMA_CPP names, or beside this package.
 * @throws ShaktiError saying how to install it
 */
export async function findLlamaCpp({ cwd, env }: Pick<Io, 'cwd' | 'env'>): Promise<FoundLlamaCpp> {
  const places = [join(env['SHAKTI_LLAMA_CPP'] ?? cwd, 'package.json'), import.meta.url]
  for (const from of places) {
    for (const folder of createRequire(from).resolve.paths('node-llama-cpp') ?? []) {
      const file = join(folder, 'node-llama-cpp', 'package.json')
      const source = await readFile(file, 'utf8').catch(() => undefined)
      if (source === undefined) continue
      const { main, version } = JSON.parse(source) as { main: string; version: string }
      const binding = (await import(pathToFileURL(join(dirname(file), main)).href)) as Binding
      return { binding, version }
    }
  }
  throw new ShaktiError(
    'bench',
    'node-llama-cpp is not installed here. Run: npm install --ignore-scripts node-llama-cpp (its binary comes with the package).',
  )
}

const greedy = { generateNext: { token: true, options: { temperature: 0 } } }

export class LlamaCpp {
  private constructor(
    private readonly model: Model,
    private readonly context: Context,
    private readonly sequence: Sequence,
    readonly flashAttention: boolean,
  ) {}

  /** Loads a file; of both kinds of attention the one that is faster on this work stays. */
  static async load(
    llama: Llama,
    file: string,
    work: Work,
    ids: readonly number[],
    threads: number,
  ): Promise<LlamaCpp> {
    const model = await llama.loadModel({ modelPath: file, useMmap: true })
    const contextSize = work.prefill + work.decode + 8
    const open = async (flashAttention: boolean): Promise<LlamaCpp> => {
      const context = await model.createContext({
        contextSize,
        batchSize: work.prefill,
        threads: { ideal: threads, min: threads },
        flashAttention,
      })
      return new LlamaCpp(model, context, context.getSequence(), flashAttention)
    }
    const trial = { prefill: work.prefill, decode: Math.min(16, work.decode) }
    const [plain, flash] = [await open(false), await open(true)]
    // The best of each in turns: one trial alone tells more of the machine than of them.
    const best = new Map<LlamaCpp, Round>()
    for (let i = 0; i < 4; i++)
      for (const engine of [plain, flash]) {
        const { prefill, decode } = await engine.round(trial, ids)
        const { prefill: p, decode: d } = best.get(engine) ?? { prefill: 0, decode: 0 }
        best.set(engine, { prefill: Math.max(prefill, p), decode: Math.max(decode, d) })
      }
    // A quarter sooner with the prompt is worth more than a hundredth with the text, however long that is.
    const speed = (engine: LlamaCpp): number => best.get(engine)!.prefill * best.get(engine)!.decode
    const better = speed(flash) > speed(plain) ? flash : plain
    await (better === flash ? plain : flash).context.dispose()
    return better
  }

  async round({ prefill, decode }: Work, ids: readonly number[]): Promise<Round> {
    const { sequence } = this
    await sequence.clearHistory()
    let start = performance.now()
    await sequence.evaluateWithoutGeneratingNewTokens(ids.slice(0, prefill))
    const read = performance.now() - start
    let token = ids[0]!
    start = performance.now()
    for (let i = 0; i < decode; i++) {
      const [result] = await sequence.controlledEvaluate([[token, greedy]])
      const next = result?.next.token
      if (next === undefined) throw new ShaktiError('bench', 'llama.cpp gave no next token.')
      token = next
    }
    const wrote = performance.now() - start
    return { prefill: (1000 * prefill) / read, decode: (1000 * decode) / wrote }
  }

  async dispose(): Promise<void> {
    await this.context.dispose()
    await this.model.dispose()
  }
}
