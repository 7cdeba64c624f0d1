// shakti bench

import { arch, platform } from 'node:os'
import { deviceInfo, writeAtomically } from '@shakti/tensor'
import {
  choice,
  flag,
  integer,
  OK,
  Progress,
  text,
  UsageError,
} from '@shakti/tokenizer/command-line'
import { inspectPretrained, memoryBudget } from '@shakti/vlm'
import type { InspectedFolder, Precision, ReadingProgress } from '@shakti/vlm'
import { loadModel, useThreads } from '../assistant.js'
import { imageSize, tokensOf } from '../imageSize.js'
import { readingBar } from '../io.js'
import type { Command } from '../io.js'
import { modelFolder, noMore } from '../presets.js'
import { Bandwidth, median } from './bandwidth.js'
import { cacheBytes, noise, ourRound, textIds, weightBytes } from './ours.js'
import type { OurRound, Round } from './ours.js'
import { askedPeer, openPeers } from './peer.js'
import { shown } from './report.js'
import type { Report } from './report.js'

export const bench: Command = {
  summary: 'tokens a second, time to the first, memory; beside llama.cpp',
  help: `shakti bench DIR [options]

Times a model as 'generate' runs it, greedy: reading a prompt, writing behind it, the memory it took beside the budget,
and which share of the memory's bandwidth writing uses (each token reads all weights, and the keys and values before it; the bandwidth is that of our sum
over 512 MB, measured in each round). Medians of the rounds.

  --prefill N         tokens of the prompt (512)
  --decode N          tokens written behind the first (128)
  --rounds N          (3)
  --image WxH         an image before the prompt, of noise
  --kv TYPE           keys and values in f32, bf16 or i8 (that of the activations)
  --packed            lay matrices out for products: slower to load, faster to run
  --threads N         of the CPU, ours and the peer's (all cores)
  --json FILE         the report as JSON too; '-' for standard output, without the table
  --peer llama.cpp    the decoder in llama.cpp, in turns with ours; needs npm's node-llama-cpp here
  --peer-types LIST   kinds of weights: f32, f16, bf16, q8_0, q4_0 (those near ours)
  --peer-from DIR     where a quantised model's decoder is exported from
  --gguf FILE         a file to run in place of exporting one; may be repeated

Examples
  shakti bench models/1b --packed --image 448x448
  shakti bench models/1b-int8 --peer llama.cpp --peer-types q8_0 --peer-from models/1b --json results.json`,
  options: {
    prefill: { type: 'string' },
    decode: { type: 'string' },
    rounds: { type: 'string' },
    image: { type: 'string' },
    kv: { type: 'string' },
    packed: { type: 'boolean' },
    threads: { type: 'string' },
    json: { type: 'string' },
    peer: { type: 'string' },
    'peer-types': { type: 'string', multiple: true },
    'peer-from': { type: 'string' },
    gguf: { type: 'string', multiple: true },
  },

  async run(args, io) {
    const folder = await modelFolder(args)
    noMore(args, 1)
    const count = (option: string, usual: number): number => {
      const n = integer(args, option) ?? usual
      if (n < 1) throw new UsageError(`--${option} is ${n}. At least 1 is expected.`)
      return n
    }
    const found = await inspectPretrained(folder)
    const { config } = found
    const room = config.decoder.context - 2
    const work = {
      prefill: count('prefill', Math.min(512, room >> 1)),
      decode: count('decode', Math.min(128, room >> 2)),
    }
    const rounds = count('rounds', 3)
    const kvDtype = choice(args, 'kv', ['f32', 'bf16', 'i8'])
    const packed = flag(args, 'packed')
    const size = imageSize(args, config)
    if (size && config.imageToken === undefined)
      throw new UsageError(
        `--image: ${folder} has no image token. 'shakti init' and training write one into config.json.`,
      )
    const positions = work.prefill + work.decode + 1 + (size ? tokensOf(size, config) : 0)
    if (positions > config.decoder.context)
      throw new UsageError(
        `${positions} positions are more than the context of ${config.decoder.context}. Lower --prefill or --decode.`,
      )
    if (size && text(args, 'peer') !== undefined)
      throw new UsageError(
        '--image and --peer exclude each other: the peer runs the decoder alone.',
      )
    useThreads(args)
    const { cpu, isa, threads } = deviceInfo()
    const peer = await askedPeer(args, folder, found, io)
    const signal = io.interrupts.begin()
    const began = performance.now()
    const model = await loadModel(folder, args, io, signal)
    const load = performance.now() - began
    const image = size && { size, encoded: noise(size) }
    const round = (onProgress?: ReadingProgress): Promise<OurRound> =>
      ourRound(model, work, { image, kvDtype, signal, ...(onProgress ? { onProgress } : {}) })
    const bar = readingBar(io)
    await round(bar.onProgress).finally(bar.stop) // the first touches the weights
    const peakMemory = process.resourceUsage().maxRSS * 1024
    const bandwidth = new Bandwidth()
    const ours: (OurRound & { bandwidth: number })[] = []
    const theirs = new Map<string, Round[]>()
    const ids = textIds(work.prefill, config)
    const peers = peer && (await openPeers(peer, work, ids, threads, io, signal))
    const progress = new Progress(io.stderr)
    try {
      const start = performance.now()
      for (let i = 0; i < rounds; i++) {
        const readable = await bandwidth.measure()
        ours.push({ ...(await round()), bandwidth: readable })
        for (const { name } of peers?.engines ?? []) {
          signal.throwIfAborted()
          theirs.set(name, [...(theirs.get(name) ?? []), await peers!.round(name)])
        }
        const each = (performance.now() - start) / 1000 / (i + 1)
        progress.update({
          task: 'timing',
          done: i + 1,
          total: rounds,
          rate: `${each.toFixed(1)} s a round`,
          secondsLeft: each * (rounds - i - 1),
        })
      }
    } finally {
      progress.stop()
      bandwidth.dispose()
      await peers?.dispose()
    }
    const weights = weightBytes(found.model)
    const cache = cacheBytes(
      config,
      { prompt: positions - work.decode - 1, decode: work.decode },
      kvDtype ?? (found.dtype === 'f32' ? 'f32' : 'bf16'),
    )
    const read = weights + cache
    const of = (pick: (r: (typeof ours)[number]) => number): number => median(ours.map(pick))
    const precision = precisionOf(found)
    const budget = memoryBudget(config, {
      dtype: precision,
      quantization: found.quantization,
      positions,
      packed: packed && !found.quantization,
      ...(kvDtype ? { kvDtype } : {}),
      ...(size ? { image: size } : {}),
    })
    const report: Report = {
      model: { folder, parameters: found.model.parameters, precision, packed },
      machine: {
        ...{ cpu, isa, threads, node: process.version, platform: `${platform()} ${arch()}` },
        bandwidth: of((r) => r.bandwidth),
      },
      work: { ...work, rounds, positions, ...(size ? { image: size } : {}) },
      ours: {
        prefill: of((r) => r.prefill),
        decode: of((r) => r.decode),
        firstToken: of((r) => r.firstToken),
        encode: of((r) => r.encode),
        load,
        peakMemory,
        budget: budget.total,
        weightBytesPerToken: weights,
        cacheBytesPerToken: cache,
        bytesPerSecond: of((r) => r.decode) * read,
        shareOfBandwidth: of((r) => (r.decode * read) / r.bandwidth),
        rounds: ours,
      },
      peers: (peers?.engines ?? []).map(({ name, engine }) => {
        const list = theirs.get(name)!
        return {
          engine: `node-llama-cpp ${peers!.version}`,
          weights: name,
          flashAttention: engine.flashAttention,
          prefill: median(list.map((r) => r.prefill)),
          decode: median(list.map((r) => r.decode)),
          prefillRatio: median(list.map((r, i) => ours[i]!.prefill / r.prefill)),
          decodeRatio: median(list.map((r, i) => ours[i]!.decode / r.decode)),
          rounds: list,
        }
      }),
    }
    const file = text(args, 'json')
    const json = `${JSON.stringify(report, null, 2)}\n`
    if (file !== undefined && file !== '-') await writeAtomically('bench', file, json)
    io.stdout.write(file === '-' ? json : shown(report, io.colours))
    return OK
  },
}

const precisionOf = ({ quantization, dtype }: InspectedFolder): Precision =>
  quantization ? (quantization.bits === 8 ? 'int8' : 'int4') : dtype === 'f32' ? 'f32' : 'bf16'
