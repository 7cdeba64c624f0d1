// Products on compute capability 8.0: mma.sync with tiles through cp.async, and what any GPU does the same.
// test-timeout: 300
import { test } from '../assert.js'
import { testProducts } from './products.js'

testProducts(80)
test.run()
