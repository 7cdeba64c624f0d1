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

const pids = Int32Array.from({ length: 256 }, (_, i) => (i * 7919) % 30000)
let n0 = step(pids); await n0.data()
const tid = tensor(Int32Array.of(5), { shape: [1, 1] })
let nx = tidy(() => noGrad(() => { const h = d.forward(d.embed(tid), { cache }); return d.logits(h).argmax(2) })); await nx.data()
const cap = T.capture(() => noGrad(() => { const h = d.forward(d.embed(tid), { cache }); return d.logits(h).argmax(2) }))
for (let r = 0; r < +(process.argv[4] ?? 3); r++) {
let t = performance.now()
for (let i = 0; i < 64; i++) { cap.replay(); await cap.output.data() }
const a = (performance.now() - t) / 64
t = performance.now()
for (let i = 0; i < 64; i++) { cap.replay() }
const iss = (performance.now() - t) / 64
await cap.output.data()
const b = (performance.now() - t) / 64
console.log(kind, 'replay+read', a.toFixed(2), 'ms; replays alone', b.toFixed(2), 'issue', iss.toFixed(3))
}
