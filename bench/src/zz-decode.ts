import { meta, quantize_, pack_ , KVCache} from '@shakti/nn'
import { ShaktiVlm, shaktiVlm1B, shaktiVlm4B } from '@shakti/vlm'
import { noGrad, tidy, tensor, manualSeed, setNumThreads } from '@shakti/tensor'
import * as T from '@shakti/tensor'
const ND = +(process.argv[6] ?? 64)
const kind = process.argv[2]!; const size = process.argv[3] ?? '1b'
const base = size === '4b' ? shaktiVlm4B : shaktiVlm1B
const vision = { ...base.vision, layers: 1, preNormLayers: 1, width: 64, heads: 2, mlp: 64 }
const t0 = performance.now()
const model = new ShaktiVlm({ ...base, vision })
console.log('built', Math.round(performance.now() - t0))
model.eval()
const d = model.decoder
if (kind === 'bf16') model.to({ dtype: 'bf16' })
if (kind === 'bf16p') { model.to({ dtype: 'bf16' }); pack_(d) }
if (kind === 'int8' || kind === 'int4') { model.to({ dtype: 'bf16' }); quantize_(d, { bits: kind === 'int8' ? 8 : 4 }) }
console.log('made', Math.round(performance.now() - t0), process.memoryUsage.rss() / 1e6)
const cache = new KVCache(1024)
const step = (ids: Int32Array) => tidy(() => noGrad(() => {
  const h = d.forward(d.embed(tensor(ids, { shape: [1, ids.length] })), { cache })
  const l = d.logits(h.narrow(1, h.shape[1]! - 1, 1))
  return l.argmax(2)
}))
for (let rep = 0; rep < +(process.argv[4] ?? 3); rep++) {
  cache.truncate?.(0); (cache as any).dispose()
  const ids = Int32Array.from({ length: +(process.argv[5] ?? 512) }, (_, i) => (i * 7919) % 30000)
  let t = performance.now()
  let next = step(ids); let id = (await next.data())[0]!; next.dispose()
  const pre = performance.now() - t
  t = performance.now()
  let issue = 0
  for (let i = 0; i < ND; i++) { const s = performance.now(); next = step(Int32Array.of(id)); issue += performance.now() - s; id = (await next.data())[0]!; next.dispose() }
  const dec = performance.now() - t
  console.log(kind, size, 'prefill 512:', (512e3 / pre).toFixed(0), 'tok/s', pre.toFixed(0), 'ms; decode', (ND*1e3 / dec).toFixed(1), 'tok/s', (dec / ND).toFixed(2), 'ms, issue', (issue / ND).toFixed(2), 'ms')
}
