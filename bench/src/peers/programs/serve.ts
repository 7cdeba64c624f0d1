// What a peer written for Node is made of: serve.h's loop, and the names of the works that such peers can do.
import { createInterface } from 'node:readline'
import { sample } from '../../lib/stats.js'

type Run = () => void | Promise<void>

export async function serve(
  peer: string,
  setup: (name: string) => Run | Promise<Run>,
): Promise<void> {
  const say = (value: object): void => void process.stdout.write(JSON.stringify(value) + '\n')
  say({ peer })
  let current = ''
  let run: Run = () => {}
  for await (const line of createInterface({ input: process.stdin })) {
    const [seconds, ...words] = line.split(' ')
    const name = words.join(' ')
    try {
      if (name !== current) {
        current = ''
        run = await setup(name)
        current = name
        await run()
      }
      say({ ms: await sample(run, Number(seconds)) })
    } catch (error) {
      say({ why: String((error as Error).message).split('\n')[0] })
    }
  }
}

export type RowsOrProduct =
  | { kind: 'product'; m: number; k: number; n: number }
  | { kind: 'layer norm' | 'softmax' | 'GELU'; rows: number; width: number }

/** `product f32 1024x1024x1024`, `layer norm f32 4096x1024` */
export function rowsOrProduct(name: string): RowsOrProduct {
  const [, kind, sizes = ''] = /^(product|layer norm|softmax|GELU) f32 ([\dx]+)$/.exec(name) ?? []
  const [a = 0, b = 0, c = 0] = sizes.split('x').map(Number)
  if (kind === 'product') return { kind, m: a, k: b, n: c }
  if (kind === 'layer norm' || kind === 'softmax' || kind === 'GELU')
    return { kind, rows: a, width: b }
  throw new Error(`no such work: ${name}`)
}
