// ONNX Runtime from npm: a model of one node, written here byte by byte, on two threads. Answers as serve.h does.
// usage: onnxruntime_peer.ts FOLDER_OF_PACKAGES THREADS
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { serve, rowsOrProduct } from './serve.js'

interface Value {
  dispose?(): void
}
interface Session {
  run(feeds: Record<string, Value>, fetches: Record<string, Value>): Promise<unknown>
}
interface Ort {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> }
  Tensor: new (dtype: 'float32', data: Float32Array, dims: readonly number[]) => Value
  env: { versions: { node: string } }
}

const [folder, threads] = process.argv.slice(2) as [string, string]
// What the folder holds is no dependency of this package.
const installed = createRequire(join(folder, 'package.json'))
const ort = installed('onnxruntime-node') as Ort

// --- protocol buffers, as far as onnx.proto needs them here --------------------------------------------------------

function varint(n: number): number[] {
  const bytes = []
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) + 128)
  return [...bytes, n]
}

const number = (field: number, n: number): number[] => [field * 8, ...varint(n)]
const message = (field: number, ...parts: number[][]): number[] => {
  const bytes = parts.flat()
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes]
}
const text = (field: number, s: string): number[] => message(field, [...Buffer.from(s)])

const float = 1

/** ValueInfoProto: name and type of an input or output. */
const value = (field: number, name: string, dims: readonly number[]): number[] => {
  const shape = message(2, ...dims.map((d) => message(1, number(1, d))))
  return message(field, text(1, name), message(2, message(1, number(1, float), shape)))
}

type Shapes = Readonly<Record<string, readonly number[]>>

/** ModelProto with one node, opset 20. */
function model(op: string, inputs: Shapes, output: readonly number[]): Uint8Array {
  const node = message(
    1,
    ...Object.keys(inputs).map((name) => text(1, name)),
    text(2, 'y'),
    text(4, op),
  )
  const graph = message(
    7,
    node,
    text(2, 'bench'),
    ...Object.entries(inputs).map(([name, dims]) => value(11, name, dims)),
    value(12, 'y', output),
  )
  return Uint8Array.from([...number(1, 9), ...graph, ...message(8, text(1, ''), number(2, 20))])
}

const tensor = (dims: readonly number[]): Value => {
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1))
  for (let i = 0; i < data.length; i++) data[i] = Math.random() - 0.5
  return new ort.Tensor('float32', data, dims)
}

const operators: Readonly<Record<string, string>> = {
  'layer norm': 'LayerNormalization',
  softmax: 'Softmax',
  GELU: 'Gelu',
}

await serve(`onnxruntime ${ort.env.versions.node}`, async (name) => {
  const work = rowsOrProduct(name)
  let inputs: Shapes
  let output: readonly number[]
  let op: string
  if (work.kind === 'product') {
    inputs = { a: [work.m, work.k], b: [work.k, work.n] }
    output = [work.m, work.n]
    op = 'MatMul'
  } else {
    output = [work.rows, work.width]
    op = operators[work.kind]!
    inputs = {
      x: output,
      ...(op === 'LayerNormalization' ? { w: [work.width], b: [work.width] } : {}),
    }
  }
  const session = await ort.InferenceSession.create(model(op, inputs, output), {
    intraOpNumThreads: Number(threads),
    interOpNumThreads: 1,
    executionProviders: ['cpu'],
  })
  const feeds = Object.fromEntries(Object.entries(inputs).map(([key, dims]) => [key, tensor(dims)]))
  // Its result has a place already: else each run would wait for fresh pages.
  const fetches = { y: tensor(output) }
  return async () => {
    await session.run(feeds, fetches)
  }
})
