// What the tests of models' folders share.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Tensor } from '@shakti/tensor'
import type { ShaktiVlm } from '../src/index.js'
import { assert } from './assert.js'

/** What `f` gives, in a folder that is gone afterwards. */
export async function inFolder<T>(f: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-vlm-'))
  try {
    return await f(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
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
