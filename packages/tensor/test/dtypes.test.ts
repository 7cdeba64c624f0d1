// Which dtype a result has, and that no number silently becomes another one on the way into it.
import {
  DeviceError,
  DTypeError,
  NativeError,
  arange,
  full,
  fullLike,
  ones,
  randLike,
  randnLike,
  resetDevice,
  emptyLike,
  tensor,
  where,
  zeros,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertThrows, test } from './assert.js'

const i32 = arange(6).reshape([2, 3])
const u8 = tensor(Uint8Array.from([1, 2, 250]))
const values = (t: Tensor): number[] => [...t.dataSync()]

test('a tensor without dimensions decides the dtype only when it is of a higher kind, as in PyTorch', () => {
  const rows: [DType, DType, DType][] = [
    ['bf16', 'f32', 'bf16'],
    ['f16', 'f64', 'f16'],
    ['u8', 'i32', 'u8'],
    ['i32', 'f32', 'f32'],
    ['bool', 'i32', 'i32'],
    ['u8', 'bf16', 'bf16'],
  ]
  for (const [many, one, want] of rows) {
    const [a, b] = [ones([2], { dtype: many }), ones([], { dtype: one })]
    assert.is(a.mul(b).dtype, want, `${many} * ${one}`)
    assert.is(b.mul(a).dtype, want, `${one} * ${many}`)
    assert.is(where(a.gt(0), a, b).dtype, want)
  }
  assert.is(ones([1], { dtype: 'bf16' }).mul(ones([1])).dtype, 'f32')
  assert.is(ones([], { dtype: 'bf16' }).mul(ones([])).dtype, 'f32')
})

test('a fraction beside integers makes f32, in where, maskedFill and clamp as in add', () => {
  assert.equal(values(i32.add(0.5)).slice(0, 2), [0.5, 1.5])
  assert.equal(values(where(i32.gt(3), i32, 0.5)), [0.5, 0.5, 0.5, 0.5, 4, 5])
  assert.equal(values(i32.maskedFill(i32.gt(3), 0.5)), [0, 1, 2, 3, 0.5, 0.5])
  assert.equal(values(i32.clamp(0.5, 3.5)), [0.5, 1, 2, 3, 3.5, 3.5])
  assert.is(i32.maskedFill(i32.gt(3), -7).dtype, 'i32')
  assert.is(i32.clamp(1, 3).dtype, 'i32')
  assert.ok(Number.isNaN(values(where(i32.gt(3), i32, NaN))[0]))
})

test('rounding and relu leave integers what they are', () => {
  for (const t of [i32.floor(), i32.ceil(), i32.round(), i32.relu()]) {
    assert.is(t.dtype, 'i32')
    assert.equal(values(t), [0, 1, 2, 3, 4, 5])
  }
  assert.equal(values(i32.sub(3).relu()), [0, 0, 0, 0, 1, 2])
})

test('a number that an integer dtype cannot hold is refused, not wrapped or cut off', () => {
  const rows: [string, () => unknown][] = [
    ['add', () => i32.add(3e9)],
    ['mul', () => u8.mul(1000)],
    ['maximum', () => i32.maximum(2 ** 31)],
    ['where', () => where(i32.gt(3), i32, 3e9)],
    ['tensor', () => tensor([1, 300], { dtype: 'u8' })],
    ['tensor', () => tensor([3e9], { dtype: 'i32' })],
    ['tensor', () => tensor([NaN], { dtype: 'i32' })],
    ['tensor', () => tensor([Infinity], { dtype: 'i64' })],
    ['full', () => full([2], -1, { dtype: 'u8' })],
    ['fill_', () => zeros([2], { dtype: 'i32' }).fill_(NaN)],
    ['arange', () => arange(2e9, 3e9, 5e8)],
    ['add_', () => arange(3).add_(0.5)],
    ['div_', () => arange(3).div_(2)],
  ]
  for (const [op, fn] of rows) assertThrows(() => void fn(), DTypeError, `[${op}]`)
  // As in PyTorch: a negative number beside u8 is one that is taken away.
  assert.equal(values(u8.add(-1)), [0, 1, 249])
  assert.equal(values(i32.lt(3e9)), [1, 1, 1, 1, 1, 1])
  assert.equal(values(tensor([1.75, -1.75], { dtype: 'i32' })), [1, -1])
  assert.equal(values(tensor([1.75, -(2 ** 40)], { dtype: 'i64' })), [1, -(2 ** 40)])
})

test('a sum, product or running sum beyond i32 makes the read fail; i64 holds it', () => {
  const n = tensor([2 ** 30, 2 ** 30, 3], { dtype: 'i32' })
  for (const fn of [() => n.sum(), () => n.prod(), () => n.cumsum(0)]) {
    assertThrows(() => void fn().dataSync(), NativeError, 'i32', 'i64')
    resetDevice()
  }
  assert.equal(values(n.to('i64').sum()), [2 ** 31 + 3])
  assert.equal(values(n.to('i64').cumsum(0)), [2 ** 30, 2 ** 31, 2 ** 31 + 3])
  assert.equal(values(n.sub(2 ** 29).sum()), [2 ** 29 + 3])
})

test('bool has no difference, as in PyTorch', () => {
  const b = tensor([true, false])
  for (const fn of [() => b.sub(b), () => b.sub(1), () => u8.narrow(0, 0, 2).sub(b)])
    assertThrows(() => void fn(), DTypeError, '[sub]', 'logicalXor')
})

test('lists of one kind give its dtype, mixed ones numbers', () => {
  assert.is(tensor([true, false]).dtype, 'bool')
  assert.is(tensor([1n, 2n]).dtype, 'i64')
  assert.is(tensor([]).dtype, 'f32')
  assert.equal(values(tensor([true, 5])), [1, 5])
  assert.equal(values(tensor([2n, 0.5])), [2, 0.5])
})

test('creation from another tensor takes its shape and dtype', () => {
  const like = zeros([2, 3], { dtype: 'bf16' })
  for (const t of [fullLike(like, 2), emptyLike(like), randLike(like), randnLike(like)]) {
    assert.equal(t.shape, [2, 3])
    assert.is(t.dtype, 'bf16')
  }
  assert.equal(values(fullLike(like, 2, { dtype: 'f32' })), [2, 2, 2, 2, 2, 2])
})

test("to() takes a dtype, a device, or both; a device of PyTorch's that is not there is named", () => {
  assert.is(i32.to(i32.device), i32)
  assert.is(i32.to({ dtype: 'f64', device: i32.device }).dtype, 'f64')
  assertThrows(() => void i32.to('cuda:77'), DeviceError, 'cuda:77')
  assertThrows(() => void i32.to('float32' as never), DTypeError, "'float32'", 'f32')
  assertThrows(() => void i32.to(undefined as never), DTypeError, '[to]')
})

test.run()
