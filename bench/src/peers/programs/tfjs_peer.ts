// TensorFlow.js on its WebAssembly backend, which has one thread in Node. Answers as serve.h does.
// usage: tfjs_peer.ts FOLDER_OF_PACKAGES
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { serve, rowsOrProduct } from './serve.js'

interface TfTensor {
  mul(x: TfTensor | number): TfTensor
  dispose(): void
}
interface Tf {
  setBackend(name: string): Promise<boolean>
  tidy(fn: () => void): void
  randomNormal(dims: readonly number[]): TfTensor
  ones(dims: readonly number[]): TfTensor
  zeros(dims: readonly number[]): TfTensor
  matMul(a: TfTensor, b: TfTensor): TfTensor
  softmax(x: TfTensor): TfTensor
  erf(x: TfTensor): TfTensor
  add(a: TfTensor, b: TfTensor | number): TfTensor
  sub(a: TfTensor, b: TfTensor): TfTensor
  mul(a: TfTensor, b: TfTensor | number): TfTensor
  rsqrt(x: TfTensor): TfTensor
  moments(x: TfTensor, axis: number, keepDims: boolean): { mean: TfTensor; variance: TfTensor }
  version_core: string
}

const [folder] = process.argv.slice(2) as [string]
// What the folder holds is no dependency of this package.
const installed = createRequire(join(folder, 'package.json'))
const tf = installed('@tensorflow/tfjs-core') as Tf
const wasm = installed('@tensorflow/tfjs-backend-wasm') as { setWasmPaths(folder: string): void }
wasm.setWasmPaths(join(dirname(installed.resolve('@tensorflow/tfjs-backend-wasm')), '/'))
if (!(await tf.setBackend('wasm'))) throw new Error('error: the wasm backend does not start')

function layerNorm(x: TfTensor, w: TfTensor, b: TfTensor): TfTensor {
  const { mean, variance } = tf.moments(x, 1, true)
  return tf.add(tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5))), w), b)
}

const gelu = (x: TfTensor): TfTensor =>
  tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1))

let operands: TfTensor[] = []
const own = (x: TfTensor): TfTensor => {
  operands.push(x)
  return x
}

await serve(`tfjs wasm ${tf.version_core}, 1 thread`, (name) => {
  for (const x of operands) x.dispose()
  operands = []
  const work = rowsOrProduct(name)
  if (work.kind === 'product') {
    const [a, b] = [own(tf.randomNormal([work.m, work.k])), own(tf.randomNormal([work.k, work.n]))]
    return () => tf.tidy(() => void tf.matMul(a, b))
  }
  const x = own(tf.randomNormal([work.rows, work.width]))
  const [w, b] = [own(tf.ones([work.width])), own(tf.zeros([work.width]))]
  const run = {
    'layer norm': () => layerNorm(x, w, b),
    softmax: () => tf.softmax(x),
    GELU: () => gelu(x),
  }
  const fn = run[work.kind]
  return () => tf.tidy(() => void fn())
})
