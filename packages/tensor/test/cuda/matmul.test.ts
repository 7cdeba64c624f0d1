// Products on compute capability 9.0: warpgroups' products with tiles through TMA.
// test-timeout: 300
import { test } from '../assert.js'
import { testProducts } from './products.js'

testProducts(90)
test.run()
