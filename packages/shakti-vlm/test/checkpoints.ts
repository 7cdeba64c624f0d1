// The checkpoints that fixtures/checkpoints.py recorded, written as transformers saved them.
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { saveSafetensors, tensor, type Tensor } from '@shakti/tensor'
import { fill } from './assert.js'

export interface Case {
  readonly name: string
  /** config.json */
  readonly config: Record<string, unknown>
  /** Of each tensor in the file, by name, sorted. */
  readonly shapes: Record<string, number[]>
  readonly ids?: number[]
  readonly logits?: number[]
  readonly hidden?: number[]
}

const path = fileURLToPath(new URL('fixtures/checkpoints.json', import.meta.url))
export const cases = JSON.parse(readFileSync(path, 'utf8')) as readonly Case[]

/** The case whose name begins so. */
export const caseOf = (name: string): Case => {
  const found = cases.find((c) => c.name.startsWith(name))
  if (!found) throw new Error(`no case ${name}`)
  return found
}

/** Names, shapes and config of the file, and the values of checkpoints.py. */
export async function writeCheckpoint(folder: string, { config, shapes }: Case): Promise<string> {
  const tensors: Record<string, Tensor> = {}
  Object.entries(shapes).forEach(([name, shape], k) => {
    const nearOne = (name.includes('norm') && name.endsWith('weight')) || name.includes('lambda')
    const n = shape.reduce((a, b) => a * b, 1)
    tensors[name] = tensor(
      fill(k, n).map((v) => (nearOne ? Math.fround(1 + v) : v)),
      { shape },
    )
  })
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  await saveSafetensors(join(folder, 'model.safetensors'), tensors)
  return folder
}
