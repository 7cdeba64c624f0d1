import { randn, scaledDotProductAttention, quantizeWeight, quantizedLinear, synchronize as sync } from '@shakti/tensor'
const time = async (name: string, f: () => unknown, n: number) => {
  for (let i = 0; i < 3; i++) f()
  await sync()
  const t: number[] = []
  for (let i = 0; i < n; i++) { const a = performance.now(); f(); await sync(); t.push(performance.now() - a) }
  t.sort((a, b) => a - b)
  console.log(`${name}\t${(t[n >> 1]! * 1000).toFixed(0)}\t${(t[0]! * 1000).toFixed(0)}`)
}
for (const dt of ['f32', 'bf16'] as const) {
  for (const T of [1024]) {
    for (const back of [false, true]) {
      const mk = () => { const x = randn([1, 8, T, 64]).to(dt).detach(); if (back) x.requiresGrad_?.(true); return x }
      const mk2 = () => back ? randn([1, 8, T, 64], { requiresGrad: true, dtype: dt } as never) : randn([1, 8, T, 64]).to(dt)
      const [q, k, v] = [mk2(), mk2(), mk2()]
      await time(`attention ${dt} T${T}${back ? ' backward too' : ''}`, () => {
        const y = scaledDotProductAttention(q, k, v, { isCausal: true })
        if (!back) return y.dispose()
        y.sum().backward()
        q.grad = k.grad = v.grad = undefined
      }, back ? 40 : 80)
    }
  }
}
for (const bits of [8, 4] as const) {
  const w = quantizeWeight(randn([4096, 4096]), { bits })
  for (const m of [1, 4, 16, 512]) {
    const x = randn([m, 4096])
    await time(`int${bits} m${m}`, () => quantizedLinear(x, w).dispose(), m === 512 ? 30 : 150)
  }
}
