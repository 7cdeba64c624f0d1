// A file of ours as llama.cpp's Python package (gguf) reads it, through the Python that SHAKTI_PYTHON names.
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadSafetensors } from '@shakti/tensor'
import { exportGguf, type Decoder, type GgufType } from '../../src/index.js'
import { planGguf } from '../../src/gguf/architecture.js'
import { round } from './compare.js'

const run = promisify(execFile)
const script = fileURLToPath(new URL('readGguf.py', import.meta.url))

export const hasGguf = (python: string): Promise<boolean> =>
  run(python, ['-c', 'import gguf']).then(
    () => true,
    () => false,
  )

/**
 * Names of tensors whose values are not those of the decoder, rounded as the type rounds, and of fields that are not as planned.
 * Of an architecture whose rows keep their order.
 * @param m changed to the values that the file holds
 */
export async function differsInGguf(python: string, m: Decoder, type: GgufType): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-parity-'))
  try {
    const [file, out] = [join(folder, 'model.gguf'), join(folder, 'read.safetensors')]
    await exportGguf(m, file, { type })
    const { stdout } = await run(python, [script, file, out], { maxBuffer: 1e8 })
    const whole = type === 'f16' || type === 'bf16'
    if (!whole) round(m, type)
    const fields = JSON.parse(stdout) as Record<string, unknown>
    const { tensors } = loadSafetensors(out, { device: 'cpu' })
    const state = m.stateDict()
    const plan = planGguf(m.config)
    const wrong: string[] = []
    for (const { name, from } of plan.tensors) {
      const t = state[from!]!
      // Norms and biases are f32 in the file.
      const want = (whole && t.ndim === 2 ? t.to(type) : t).float()
      const got = tensors[name]
      const [a, b] = [want.dataSync(), got?.dataSync() ?? []]
      if (got?.shape.join() !== want.shape.join() || a.some((v, i) => v !== b[i])) wrong.push(name)
    }
    for (const { key, type, value } of plan.fields)
      if ((type === 'f32' ? Math.fround(value) : value) !== fields[key]) wrong.push(key)
    if (Object.keys(tensors).length !== plan.tensors.length) wrong.push('number of tensors')
    return wrong
  } finally {
    await rm(folder, { recursive: true })
  }
}
