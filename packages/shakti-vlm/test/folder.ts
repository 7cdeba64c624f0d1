// What the tests of models' folders share.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Tensor } from '@shakti/tensor'
import type { ShaktiVlm } from '../src/index.js'
import { assert } from './assert.js'

export async function inFolder(f: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-vlm-'))
  try {
    await f(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** `promise` is rejected with an error of class `type` whose text holds every part. */
export async function refused(
  promise: Promise<unknown>,
  type: abstract new (...args: never[]) => Error,
  ...parts: string[]
): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (e: unknown) => e,
  )
  assert.ok(error instanceof type, `expected ${type.name}, got ${String(error)}`)
  for (const part of parts)
    assert.ok(error.message.includes(part), `'${error.message}' does not name '${part}'`)
}

export const bits = (t: Tensor): string =>
  Buffer.from(t.dataSync().buffer as ArrayBuffer).toString('base64')

/** Equal names, dtypes and bits. */
export function same(a: ShaktiVlm, b: ShaktiVlm): void {
  const [x, y] = [a.stateDict(), b.stateDict()]
  assert.equal(Object.keys(x), Object.keys(y))
  for (const name of Object.keys(x)) {
    assert.is(x[name]!.dtype, y[name]!.dtype, name)
    assert.is(bits(x[name]!), bits(y[name]!), name)
  }
}

type Json = Record<string, unknown>

export async function editJson(path: string, edit: (json: Json) => void): Promise<void> {
  const json = JSON.parse(await readFile(path, 'utf8')) as Json
  edit(json)
  await writeFile(path, JSON.stringify(json))
}

/** Length of a - b over the length of b. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, length] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2
    length += b[i]! ** 2
  }
  return Math.sqrt(difference / length)
}
