import { fromPretrained, generate } from '@shakti/vlm'
const dir = process.argv[2]!
const model = await fromPretrained(dir, process.argv[3] === 'packed' ? { packed: true } : {})
for (let r = 0; r < +(process.argv[4] ?? 3); r++) {
  const ids = Int32Array.from({ length: 512 }, (_, i) => (i * 7919) % 30000)
  let last: any
  for await (const t of generate(model, { ids }, { maxTokens: +(process.argv[5] ?? 128) })) last = t
  console.log(dir, JSON.stringify(last.timing), (512e3 / last.timing.prefill).toFixed(0), 'prefill tok/s')
}
