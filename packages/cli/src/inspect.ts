// shakti inspect

import {
  choice,
  flag,
  integer,
  number,
  OK,
  paints,
  size,
  table,
  text,
  UsageError,
} from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { inspectConfig, inspectPretrained, memoryBudget } from '@shakti/vlm'
import type {
  InspectedModule,
  MemoryBudget,
  Precision,
  QuantizationConfig,
  ShaktiVlmConfig,
} from '@shakti/vlm'
import { imageSize, tokensOf } from './imageSize.js'
import type { Command } from './io.js'
import { modelFolder, noMore, presetNames, presets } from './presets.js'

const precisions: readonly Precision[] = ['f32', 'bf16', 'int8', 'int4']

export const inspect: Command = {
  summary: 'modules, shapes, sizes and the memory that a run takes',
  help: `shakti inspect DIR [options]
shakti inspect --preset NAME [options]

Shows what a model consists of, from its config and the headers of its files: no weight is read. Equal neighbours stand
in one row. Below it, the memory that a run takes at each precision (int8 and int4 in the usual groups of 64 and 32, without zero
points), and, of a quantised folder, as it is stored.

  --preset NAME    a model that nobody has written yet: ${presetNames.join(', ')}
  --depth N        levels of modules; tensors stand below those that are opened (2)
  --positions N    prompt and answer, in tokens (the context)
  --image WxH      one image of this size
  --batch N        sequences at once (1)
  --chunk N        positions read at once (512)
  --kv TYPE        of keys and values: f32, bf16, i8 (that of the activations)
  --packed         matrices laid out for products, as with --packed elsewhere
  --json           as JSON, whole

Examples
  shakti inspect models/1b --depth 3
  shakti inspect --preset shakti-vlm-4b --positions 32768 --image 896x896`,
  options: {
    preset: { type: 'string' },
    depth: { type: 'string' },
    positions: { type: 'string' },
    image: { type: 'string' },
    batch: { type: 'string' },
    chunk: { type: 'string' },
    kv: { type: 'string' },
    packed: { type: 'boolean' },
  },

  async run(args, { stdout, colours }) {
    const preset = choice(args, 'preset', presetNames)
    const found = await look(args, preset && presets[preset])
    const { config, model } = found
    const depth = integer(args, 'depth') ?? 2
    const budgets = budgetsOf(args, found)
    if (flag(args, 'json')) {
      stdout.write(`${JSON.stringify({ ...found, memory: budgets }, null, 2)}\n`)
      return OK
    }
    const { bold } = paints(colours)
    const image = imageSize(args, config)
    const titles = ['module', 'kind', 'parameters', 'stored', ...precisions]
    stdout.write(
      `${found.title}\n\n${table([titles.map(bold), ...rowsOf(model, depth)])}\n` +
        `${bold('memory')} of ${number(integer(args, 'positions') ?? config.decoder.context)} positions` +
        `${image ? ` and an image of ${image.width} x ${image.height} (patches of ${image.patch}, ${number(tokensOf(image, config))} tokens)` : ''}\n` +
        table([
          ['weights in', ...budgetTitles].map(bold),
          ...Object.entries(budgets).map(([name, b]) => [name, ...budgetRow(b).map(size)]),
        ]),
    )
    return OK
  },
}

interface Found {
  readonly title: string
  readonly config: ShaktiVlmConfig
  readonly model: InspectedModule
  readonly quantization?: QuantizationConfig | undefined
}

async function look(args: Arguments, preset: ShaktiVlmConfig | undefined): Promise<Found> {
  if (preset) {
    if (args.positionals.length > 0)
      throw new UsageError('--preset and a folder exclude each other.')
    const model = inspectConfig(preset)
    const title = `${text(args, 'preset')}: ${number(model.parameters)} parameters`
    return { title, config: preset, model }
  }
  const folder = await modelFolder(args)
  noMore(args, 1)
  const { files, dtype, ...found } = await inspectPretrained(folder)
  const q = found.quantization
  const bytes = files.reduce((n, f) => n + f.bytes, 0)
  const held = q
    ? `${q.bits} bits in groups of ${q.group}, the rest ${dtype ?? 'mixed'}`
    : (dtype ?? 'several dtypes')
  return {
    ...found,
    title:
      `${folder}: ${number(found.model.parameters)} parameters, ${held}; ` +
      `${size(bytes)} in ${files.length} file${files.length === 1 ? '' : 's'}`,
  }
}

/** By precision; first, where the folder's weights are quantised, of what it holds. */
function budgetsOf(
  args: Arguments,
  { config, quantization }: Found,
): Partial<Record<Precision | 'stored', MemoryBudget>> {
  const positions = integer(args, 'positions')
  const batch = integer(args, 'batch')
  const chunk = integer(args, 'chunk')
  const kvDtype = choice(args, 'kv', ['f32', 'bf16', 'i8'])
  const image = imageSize(args, config)
  const options = {
    packed: flag(args, 'packed'),
    ...(positions === undefined ? {} : { positions }),
    ...(batch === undefined ? {} : { batch }),
    ...(chunk === undefined ? {} : { chunk }),
    ...(kvDtype === undefined ? {} : { kvDtype }),
    ...(image === undefined ? {} : { image }),
  }
  return {
    ...(quantization ? { stored: memoryBudget(config, { ...options, quantization }) } : {}),
    ...Object.fromEntries(
      precisions.map((dtype) => [dtype, memoryBudget(config, { ...options, dtype })]),
    ),
  }
}

const budgetTitles = ['weights', 'keys, values', 'tables', 'decode', 'prefill', 'vision', 'total']
const budgetRow = ({ weights, kvCache, tables, activations, total }: MemoryBudget): number[] => [
  ...[weights, kvCache, tables],
  ...[activations.decode, activations.prefill, activations.vision, total],
]

const lastPart = (name: string): string => name.slice(name.lastIndexOf('.') + 1)

/** What a module is apart from its name: equal for the layers of a stack. */
const formOf = (m: InspectedModule): string =>
  JSON.stringify([
    ...[m.kind, m.parameters, m.bytes],
    m.tensors.map((t) => [lastPart(t.name), t.dtype, t.shape]),
    m.modules.map(formOf),
  ])

/** Neighbours of one form, where their names are numbers. */
function runsOf(modules: readonly InspectedModule[]): InspectedModule[][] {
  const runs: InspectedModule[][] = []
  for (const m of modules) {
    const run = runs.at(-1)
    if (run && /^\d+$/.test(lastPart(m.name)) && formOf(run[0]!) === formOf(m)) run.push(m)
    else runs.push([m])
  }
  return runs
}

function rowsOf(model: InspectedModule, depth: number): string[][] {
  const rows: string[][] = []
  const add = (run: readonly InspectedModule[], level: number): void => {
    const [first] = run as [InspectedModule]
    const sum = (of: (m: InspectedModule) => number): number => run.reduce((n, m) => n + of(m), 0)
    const name = lastPart(first.name) || 'model'
    const indent = '  '.repeat(level)
    const many = run.length > 1
    rows.push([
      `${indent}${name}${many ? `..${lastPart(run.at(-1)!.name)}` : ''}`,
      many ? `${run.length} x ${first.kind}` : first.kind,
      number(sum((m) => m.parameters)),
      ...[sum((m) => m.bytes), ...precisions.map((p) => sum((m) => m.bytesAt[p]))].map(size),
    ])
    if (level >= depth) return
    for (const t of first.tensors)
      rows.push([
        `${indent}  ${lastPart(t.name)}`,
        `${t.dtype} [${t.shape.join(', ')}]`,
        '',
        size(t.bytes),
      ])
    for (const below of runsOf(first.modules)) add(below, level + 1)
  }
  add([model], 0)
  return rows
}
