// The models that can be made by name, and what folders are checked for before they are read or written.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { nano, shaktiVlm1B, shaktiVlm4B, tiny1B, tiny4B } from '@shakti/vlm'
import type { ShaktiVlmConfig } from '@shakti/vlm'

export const presets = {
  'shakti-vlm-4b': shaktiVlm4B,
  'shakti-vlm-1b': shaktiVlm1B,
  'tiny-4b': tiny4B,
  'tiny-1b': tiny1B,
  nano,
} satisfies Readonly<Record<string, ShaktiVlmConfig>>

export type PresetName = keyof typeof presets
export const presetNames = Object.keys(presets) as PresetName[]

export const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** A folder that holds a model. */
export async function modelIn(folder: string): Promise<string> {
  if (await exists(join(folder, 'config.json'))) return folder
  throw new UsageError(
    `${folder} holds no model: it has no config.json. 'shakti init' makes one with random weights.`,
  )
}

/** The folder of a model that a command begins with. */
export async function modelFolder({ positionals }: Arguments): Promise<string> {
  const [folder] = positionals
  if (folder === undefined)
    throw new UsageError('no model is given. A folder with a config.json is expected first.')
  return modelIn(folder)
}

/** A folder to write a model to. @param force whether a model in it may be replaced */
export async function outFolder(folder: string | undefined, force: boolean): Promise<string> {
  if (folder === undefined) throw new UsageError('--out is missing: the folder to write to.')
  if (!force && (await exists(join(folder, 'config.json'))))
    throw new UsageError(
      `${folder} holds a model already. Name another folder, or replace it with --force.`,
    )
  return folder
}

/** Refuses arguments beyond those that a command takes. */
export function noMore({ positionals }: Arguments, taken: number): void {
  if (positionals.length > taken)
    throw new UsageError(`${JSON.stringify(positionals[taken])} is one argument too many.`)
}
