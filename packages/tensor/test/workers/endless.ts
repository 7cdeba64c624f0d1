// Worker of threads.test.ts: issues commands until it is terminated.
import { parentPort } from 'node:worker_threads'
import { ones, tidy } from '@shakti/tensor'

const a = ones([128, 128])
parentPort!.postMessage('running')
for (;;) tidy(() => void a.matmul(a).add(1))
