// The decoder of a folder in llama.cpp, once for each kind of weights asked for.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { choice, list, text, UsageError } from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { exportGguf } from '@shakti/vlm'
import type { GgufType, InspectedFolder } from '@shakti/vlm'
import { ggufTypes } from '../export.js'
import { withProgress } from '../io.js'
import type { Io } from '../io.js'
import { findLlamaCpp, LlamaCpp, openLlamaCpp } from './llamaCpp.js'
import type { FoundLlamaCpp, Llama } from './llamaCpp.js'
import type { Round, Work } from './ours.js'

export interface Peers {
  readonly version: string
  readonly engines: readonly { readonly name: string; readonly engine: LlamaCpp }[]
  round(name: string): Promise<Round>
  dispose(): Promise<void>
}

/** What --peer and the options around it ask for, checked before any work; undefined without --peer. */
export async function askedPeer(
  args: Arguments,
  folder: string,
  found: InspectedFolder,
  io: Io,
): Promise<PeerPlan | undefined> {
  const types = list(args, 'peer-types')
  const files = list(args, 'gguf') ?? []
  const source = text(args, 'peer-from') ?? folder
  if (choice(args, 'peer', ['llama.cpp']) === undefined) {
    if (types ?? args.values['peer-from'] ?? args.values['gguf'])
      throw new UsageError('--peer-types, --peer-from and --gguf need --peer llama.cpp.')
    return undefined
  }
  const wanted = (types ?? []).flatMap((t) => t.split(','))
  for (const type of wanted)
    if (!ggufTypes.includes(type as GgufType))
      throw new UsageError(
        `--peer-types has ${JSON.stringify(type)}. Of ${ggufTypes.join(', ')} some are expected, with commas.`,
      )
  const exported = (
    wanted.length > 0 ? wanted : files.length > 0 ? [] : sameBits(found)
  ) as GgufType[]
  if (exported.length > 0 && source === folder && found.quantization)
    throw new UsageError(
      `${folder} is quantised: name the folder that it was made of with --peer-from, or GGUF files with --gguf.`,
    )
  return { binding: await findLlamaCpp(io), exported, files, source }
}

interface PeerPlan {
  readonly binding: FoundLlamaCpp
  readonly exported: readonly GgufType[]
  readonly files: readonly string[]
  readonly source: string
}

/** The kinds of weights of llama.cpp that have the bits of ours. */
function sameBits({ quantization, dtype }: InspectedFolder): GgufType[] {
  if (quantization) return [quantization.bits === 8 ? 'q8_0' : 'q4_0']
  return dtype === 'f32' ? ['f32', 'f16', 'q8_0'] : ['bf16', 'f16', 'q8_0']
}

export async function openPeers(
  { binding, exported, files, source }: PeerPlan,
  work: Work,
  ids: readonly number[],
  threads: number,
  io: Io,
  signal: AbortSignal,
): Promise<Peers> {
  const folder = await mkdtemp(join(tmpdir(), 'shakti-bench-'))
  const engines: { name: string; engine: LlamaCpp }[] = []
  let llama: Llama | undefined
  const dispose = async (): Promise<void> => {
    for (const { engine } of engines) await engine.dispose()
    await llama?.dispose()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const made: [string, string][] = files.map((file) => [basename(file, '.gguf'), file])
    for (const type of exported) {
      const file = join(folder, `${type}.gguf`)
      await withProgress(io, `exporting ${type}`, (onProgress) =>
        exportGguf(source, file, { type, onProgress, signal }),
      )
      made.push([type, file])
    }
    llama = await openLlamaCpp(binding, threads)
    for (const [name, file] of made) {
      signal.throwIfAborted()
      engines.push({ name, engine: await LlamaCpp.load(llama, file, work, ids, threads) })
    }
  } catch (error) {
    await dispose()
    throw error
  }
  const byName = new Map(engines.map(({ name, engine }) => [name, engine]))
  return {
    version: binding.version,
    engines,
    round: (name) => byName.get(name)!.round(work, ids),
    dispose,
  }
}
