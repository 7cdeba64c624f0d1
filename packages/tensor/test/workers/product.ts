// Worker of threads.test.ts: the same products as the main thread makes.
import { parentPort, workerData } from 'node:worker_threads'
import { manualSeed, memory, randn, tidy } from '@shakti/tensor'

manualSeed(workerData as number)
const a = randn([200, 200])
let sum = 0
for (let i = 0; i < 20; i++) sum += tidy(() => a.matmul(a).sum().itemSync())
parentPort!.postMessage({ sum, tensors: memory().tensors })
