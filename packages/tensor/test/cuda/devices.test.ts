// What a GPU is to a program: named, moved to, waited for, refused when it is not there; and the CPU beside it goes on. Runs on whatever
// SHAKTI_LIBCUDA names (npm run test:cuda: the simulated device); without a GPU there is nothing to test.
import {
  capture,
  crossEntropy,
  cudaDevices,
  deviceInfo,
  DeviceError,
  embedding,
  getDefaultDevice,
  isCudaAvailable,
  manualSeed,
  memory,
  NativeError,
  OutOfMemoryError,
  randn,
  resetDevice,
  setDefaultDevice,
  setMemoryLimit,
  synchronize,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertThrows, test } from '../assert.js'

const values = (t: Tensor): number[] => [...t.dataSync()]

if (!isCudaAvailable()) {
  test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
} else {
  setDefaultDevice('cpu')

  test('the GPUs are listed, and one that is not there is named', () => {
    const [gpu] = cudaDevices()
    assert.is(gpu!.device, 'cuda:0')
    assert.ok(gpu!.bytes > 0 && gpu!.multiprocessors > 0 && gpu!.name.length > 0)
    assert.equal(deviceInfo('cuda'), gpu)
    assert.is(zeros([1], { device: 'cuda' }).device, 'cuda:0')
    assertThrows(() => zeros([1], { device: 'cuda:99' }), DeviceError, 'cuda:99', 'the driver has')
    assertThrows(() => zeros([1], { device: 'gpu' as never }), DeviceError, "'gpu'", 'cuda')
  })

  test('to() moves in the order of both devices, and the gradient comes back', () => {
    const x = tensor([1, 2, 3], { requiresGrad: true })
    const y = x.mul(2).to('cuda')
    assert.is(y.device, 'cuda:0')
    y.square().sum().backward()
    assert.is(x.grad!.device, 'cpu')
    assert.equal(values(x.grad!), [8, 16, 24])
    const view = zeros([4, 6], { device: 'cuda' })
      .add(tensor([1], { device: 'cuda' }))
      .mT()
      .narrow(0, 1, 2)
    assert.equal(
      values(view.to('cpu')),
      Array.from({ length: 8 }, () => 1),
    )
    const same = tensor([5], { device: 'cuda' })
    assert.is(same.to('cuda'), same)
    assert.equal(
      [zeros([0, 3]).to('cuda').numel, ...zeros([0, 3], { device: 'cuda' }).to('cpu').shape],
      [0, 0, 3],
    )
  })

  test('a chain across both devices waits for nothing until it is read', () => {
    manualSeed(3)
    const w = randn([64, 64])
    const gpu = w.to('cuda')
    let there = w
    let here = w
    for (let i = 0; i < 5; i++) {
      there = there.to('cuda').matmul(gpu).mul(0.1).to('cpu').add(1)
      here = here.matmul(w).mul(0.1).add(1)
    }
    assertClose(there.dataSync(), here.dataSync(), { rtol: 1e-4, atol: 1e-4 })
  })

  test('operands on different devices are refused, naming both', () => {
    const [a, b] = [tensor([1]), tensor([1], { device: 'cuda' })]
    assertThrows(() => a.add(b), DeviceError, 'cpu', 'cuda:0', '.to()')
    assertThrows(() => b.copy_(a), DeviceError, '[copy]', 'cpu', 'cuda:0')
  })

  test('the default device is where tensors are made, and no other name is one', () => {
    assert.is(getDefaultDevice(), 'cpu')
    setDefaultDevice('cuda')
    assert.equal(
      [zeros([1]).device, tensor([1]).device, randn([2]).device],
      ['cuda:0', 'cuda:0', 'cuda:0'],
    )
    setDefaultDevice('cpu')
    assertThrows(() => setDefaultDevice('meta'), DeviceError, 'meta')
    assertThrows(() => setDefaultDevice('cuda:99'), DeviceError, 'cuda:99')
    assert.is(getDefaultDevice(), 'cpu')
  })

  test('memory is counted by device, and comes back', () => {
    const before = memory({ device: 'cuda' }).liveBytes
    const host = memory({ device: 'cpu' }).liveBytes
    const t = zeros([1000, 1000], { device: 'cuda' })
    assert.ok(memory({ device: 'cuda' }).liveBytes >= before + 4_000_000)
    assert.is(memory({ device: 'cpu' }).liveBytes, host)
    t.dispose()
    assert.is(memory({ device: 'cuda' }).liveBytes, before)
  })

  test('more than the GPU may give is an error at the call that says how much, and work goes on', () => {
    const limit = memory({ device: 'cuda' }).liveBytes + (8 << 20)
    setMemoryLimit(limit, 'cuda')
    assertThrows(
      () => zeros([4 << 20], { device: 'cuda' }),
      OutOfMemoryError,
      '[fill]',
      '16.0 MiB',
      'limit',
    )
    setMemoryLimit(0, 'cuda')
    const bytes = cudaDevices()[0]!.bytes
    assertThrows(() => zeros([Math.floor(bytes / 4)], { device: 'cuda' }), OutOfMemoryError, 'live')
    assert.equal(values(zeros([2], { device: 'cuda' })), [0, 0])
  })

  test('wrong content is found at the next read, in the words of the CPU, and the other device is not touched', async () => {
    const messages: string[] = []
    for (const device of ['cpu', 'cuda'] as const) {
      const table = zeros([3, 2], { device })
      const bad = embedding(tensor([0, 7], { dtype: 'i32', device }), table)
      messages.push(assertThrows(() => void bad.dataSync(), NativeError, '7').message)
      assertThrows(() => void table.add(1), NativeError, 'resetDevice()')
      resetDevice(device)
      assert.equal(values(table.add(1)), [1, 1, 1, 1, 1, 1])
    }
    assert.is(messages[0], messages[1])
    const targets = tensor([9], { dtype: 'i32', device: 'cuda' })
    const loss = crossEntropy(zeros([1, 4], { device: 'cuda' }), targets)
    let error: unknown
    await loss.data().catch((e: unknown) => (error = e))
    assert.ok(error instanceof NativeError && error.message.includes('target 9'))
    assert.equal(values(tensor([1]).add(1)), [2])
    resetDevice('cuda')
    await synchronize()
  })

  test('a captured step draws on from replay to replay, as a CUDA graph too', () => {
    manualSeed(11)
    const x = zeros([1000], { device: 'cuda' })
    const step = capture(() => void x.copy_(randn([1000], { device: 'cuda' })), { device: 'cuda' })
    const drawn = Array.from({ length: 4 }, () => {
      step.replay()
      return values(x)
    })
    manualSeed(11)
    const want = Array.from({ length: 4 }, () => values(tidy(() => randn([1000]))))
    drawn.forEach((d, i) => assertClose(d, want[i]!, { rtol: 1e-6, atol: 1e-6 }))
    assertThrows(() => capture(() => x.add(1)), Error, 'cuda:0', 'cpu')
    step.dispose()
  })
}

test.run()
