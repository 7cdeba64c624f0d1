// llama.cpp through node-llama-cpp, for the parity test and its script: the logits of given tokens, and greedy tokens.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The few names of node-llama-cpp 3 that are used; its types come with the package, which need not be here. */
export interface Binding {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{
        getSequence(): {
          controlledEvaluate(
            tokens: readonly (readonly [number, object])[],
          ): Promise<({ next: { logits?: Map<number, number> } } | undefined)[]>
        }
        dispose(): Promise<void>
      }>
      tokenize(text: string): number[]
      detokenize(tokens: readonly number[]): string
      dispose(): Promise<void>
    }>
    dispose(): Promise<void>
  }>
}

/** node-llama-cpp from here, or from the folder that SHAKTI_LLAMA_CPP names; undefined when it is not installed. */
export async function findLlamaCpp(): Promise<Binding | undefined> {
  const from = process.env['SHAKTI_LLAMA_CPP']
  const require = createRequire(from ? join(from, 'package.json') : import.meta.url)
  for (const folder of require.resolve.paths('node-llama-cpp') ?? []) {
    const root = join(folder, 'node-llama-cpp')
    const text = await readFile(join(root, 'package.json'), 'utf8').catch(() => undefined)
    if (text === undefined) continue
    const { main } = JSON.parse(text) as { main: string }
    return (await import(
      pathToFileURL(join(dirname(join(root, 'package.json')), main)).href
    )) as Binding
  }
  return undefined
}

/** A model in llama.cpp: f32 cache, two threads. */
export class LlamaCpp {
  readonly #close: () => Promise<void>
  readonly #evaluate: (ids: readonly number[]) => Promise<Float32Array[]>

  private constructor(
    readonly tokenize: (text: string) => number[],
    readonly detokenize: (ids: readonly number[]) => string,
    evaluate: (ids: readonly number[]) => Promise<Float32Array[]>,
    close: () => Promise<void>,
  ) {
    this.#evaluate = evaluate
    this.#close = close
  }

  static async load(binding: Binding, file: string, context: number): Promise<LlamaCpp> {
    const llama = await binding.getLlama({
      gpu: false,
      build: 'never',
      skipDownload: true,
      logLevel: 'error',
      maxThreads: 2,
    })
    const model = await llama.loadModel({ modelPath: file })
    const made = await model.createContext({
      contextSize: context,
      batchSize: context,
      threads: 2,
      flashAttention: false,
      experimentalKvCacheKeyType: 'F32',
      experimentalKvCacheValueType: 'F32',
    })
    const sequence = made.getSequence()
    return new LlamaCpp(
      (text) => model.tokenize(text),
      (ids) => model.detokenize(ids),
      async (ids) => {
        const out = await sequence.controlledEvaluate(
          ids.map((id) => [id, { generateNext: { logits: true } }] as const),
        )
        return out.map((result) => {
          const logits = result!.next.logits!
          const row = new Float32Array(logits.size)
          for (const [id, value] of logits) row[id] = value
          return row
        })
      },
      async () => {
        await made.dispose()
        await model.dispose()
        await llama.dispose()
      },
    )
  }

  /** Logits behind each of the tokens, which follow those given before. */
  append(ids: readonly number[]): Promise<Float32Array[]> {
    return this.#evaluate(ids)
  }

  dispose(): Promise<void> {
    return this.#close()
  }
}
