import { profile, setNumThreads, synchronize, tidy, manualSeed } from '@shakti/tensor'
import { makeEncoder } from './src/peers/encoder.ts'
setNumThreads(Number(process.argv[2] ?? 2)); manualSeed(1)
const d = { layers: 6, width: 384, heads: 6, ffn: 1024, vocab: 8192, batch: 8, length: 256 }
const stepFlops=(x: any)=>1; const step = makeEncoder({ batch: 8, tokens: 196, patch: 768, layers: 12, width: 384, heads: 6, mlp: 4 } as any, 'f32') as any
const run = async () => { tidy(() => void step()); await synchronize() }
for (let i=0;i<3;i++) await run()
const ts: number[] = []
for (let i=0;i<8;i++){ const t=performance.now(); await run(); ts.push(performance.now()-t)}
ts.sort((a,b)=>a-b); console.log('step median', ts[4]!.toFixed(1), 'GFLOP', (stepFlops(d)/1e9).toFixed(0), 'GFLOP/s', (stepFlops(d)/ts[4]!/1e6).toFixed(0))
const r = await profile(run)
const rows: any[] = (r as any).ops ?? r
let sum=0
for (const o of [...rows].sort((a,b)=>b.milliseconds-a.milliseconds)) { sum+=o.milliseconds; console.log(o.op.padEnd(28), String(o.calls).padStart(5), o.milliseconds.toFixed(2).padStart(9)) }
console.log('sum', sum.toFixed(1))
