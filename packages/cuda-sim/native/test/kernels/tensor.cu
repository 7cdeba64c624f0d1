// What a training step is made of: products on tensor cores (ldmatrix, cp.async, three stages), flash attention, layer
// norm, cross-entropy, AdamW, rotary embedding; and the same product through mma.h.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include <cstdint>

using bf16 = __nv_bfloat16;

__device__ inline void copy16(uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}
__device__ inline uint32_t shared(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// c[m, n] = a[m, k] b[n, k]^T; blocks of 64 x 64, four warps of 32 x 32. k is a multiple of 8.
extern "C" __global__ void __launch_bounds__(128) gemm_mma(const bf16* a, const bf16* b, float* c, int m, int n, int k) {
  constexpr int kStages = 3, kPad = 40;
  __shared__ __align__(16) bf16 as[kStages][64][kPad], bs[kStages][64][kPad];
  const int row0 = blockIdx.y * 64, col0 = blockIdx.x * 64, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int wm = warp / 2 * 32, wn = warp % 2 * 32;
  float acc[2][4][4] = {};
  auto load = [&](int stage, int k0) {
    for (int i = threadIdx.x; i < 256; i += 128) {
      int r = i / 4, q = i % 4 * 8;
      bool good = k0 + q < k;
      copy16(shared(&as[stage][r][q]), good && row0 + r < m ? a + (size_t)(row0 + r) * k + k0 + q : a, good && row0 + r < m ? 16 : 0);
      copy16(shared(&bs[stage][r][q]), good && col0 + r < n ? b + (size_t)(col0 + r) * k + k0 + q : b, good && col0 + r < n ? 16 : 0);
    }
  };
  for (int s = 0; s < kStages - 1; ++s) {
    load(s, s * 32);
    asm volatile("cp.async.commit_group;");
  }
  for (int t = 0; t * 32 < k; ++t) {
    asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2));
    __syncthreads();
    load((t + kStages - 1) % kStages, (t + kStages - 1) * 32);
    asm volatile("cp.async.commit_group;");
    const int s = t % kStages;
    for (int kk = 0; kk < 32; kk += 16) {
      uint32_t af[2][4], bf[4][2];
      for (int i = 0; i < 2; ++i)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(af[i][0]), "=r"(af[i][1]), "=r"(af[i][2]), "=r"(af[i][3])
                     : "r"(shared(&as[s][wm + i * 16 + lane % 16][kk + lane / 16 * 8])));
      for (int j = 0; j < 4; ++j)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                     : "=r"(bf[j][0]), "=r"(bf[j][1])
                     : "r"(shared(&bs[s][wn + j * 8 + lane % 8][kk + lane / 8 % 2 * 8])));
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 4; ++j)
          asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                       : "+f"(acc[i][j][0]), "+f"(acc[i][j][1]), "+f"(acc[i][j][2]), "+f"(acc[i][j][3])
                       : "r"(af[i][0]), "r"(af[i][1]), "r"(af[i][2]), "r"(af[i][3]), "r"(bf[j][0]), "r"(bf[j][1]));
    }
  }
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j)
      for (int e = 0; e < 4; ++e) {
        int row = row0 + wm + i * 16 + lane / 4 + e / 2 * 8, col = col0 + wn + j * 8 + lane % 4 * 2 + e % 2;
        if (row < m && col < n) c[(size_t)row * n + col] = acc[i][j][e];
      }
}

// One warp a 16 x 16 tile; m, n, k multiples of 16. b by columns.
extern "C" __global__ void gemm_wmma(const half* a, const half* b, float* c, int n, int k) {
  using namespace nvcuda::wmma;
  fragment<matrix_a, 16, 16, 16, half, row_major> fa;
  fragment<matrix_b, 16, 16, 16, half, col_major> fb;
  fragment<accumulator, 16, 16, 16, float> fc;
  fill_fragment(fc, 0.0f);
  for (int i = 0; i < k; i += 16) {
    load_matrix_sync(fa, a + (size_t)blockIdx.y * 16 * k + i, k);
    load_matrix_sync(fb, b + (size_t)blockIdx.x * 16 * k + i, k);
    mma_sync(fc, fa, fb, fc);
  }
  for (int i = 0; i < fc.num_elements; ++i) fc.x[i] *= 2;
  store_matrix_sync(c + (size_t)blockIdx.y * 16 * n + blockIdx.x * 16, fc, n, mem_row_major);
}

// One thread a query, blocks of 64; head dim 32, keys by tiles in shared memory.
extern "C" __global__ void flash_forward(const float* q, const float* k, const float* v, float* o, int length, int causal) {
  constexpr int kD = 32, kTile = 32;
  __shared__ float ks[kTile][kD], vs[kTile][kD];
  const int i = blockIdx.x * 64 + threadIdx.x;
  const float scale = rsqrtf(kD);
  float qi[kD], out[kD], most = -INFINITY, sum = 0;
  for (int d = 0; d < kD; ++d) qi[d] = i < length ? q[i * kD + d] * scale : 0, out[d] = 0;
  const int end = causal ? min(length, (int)(blockIdx.x + 1) * 64) : length;
  for (int t = 0; t < end; t += kTile) {
    for (int e = threadIdx.x; e < kTile * kD; e += 64) {
      int j = t + e / kD;
      ks[e / kD][e % kD] = j < length ? k[j * kD + e % kD] : 0;
      vs[e / kD][e % kD] = j < length ? v[j * kD + e % kD] : 0;
    }
    __syncthreads();
    for (int j = 0; j < kTile && t + j < end; ++j) {
      if (causal && t + j > i) break;
      float s = 0;
      for (int d = 0; d < kD; ++d) s += qi[d] * ks[j][d];
      float m = fmaxf(most, s), f = __expf(most - m), p = __expf(s - m);
      sum = sum * f + p;
      for (int d = 0; d < kD; ++d) out[d] = out[d] * f + p * vs[j][d];
      most = m;
    }
    __syncthreads();
  }
  if (i < length)
    for (int d = 0; d < kD; ++d) o[i * kD + d] = out[d] / sum;
}

// One warp a row.
extern "C" __global__ void layernorm(const float* x, const float* w, const float* b, float* y, int rows, int width) {
  const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  const float* r = x + (size_t)row * width;
  float s = 0, s2 = 0;
  for (int i = lane * 4; i < width; i += 128) {
    float4 v = *(const float4*)(r + i);
    s += v.x + v.y + v.z + v.w;
  }
  for (int o = 16; o > 0; o >>= 1) s += __shfl_xor_sync(~0u, s, o);
  const float mean = s / width;
  for (int i = lane; i < width; i += 32) s2 += (r[i] - mean) * (r[i] - mean);
  for (int o = 16; o > 0; o >>= 1) s2 += __shfl_xor_sync(~0u, s2, o);
  const float inv = rsqrtf(s2 / width + 1e-5f);
  for (int i = lane; i < width; i += 32) y[(size_t)row * width + i] = (r[i] - mean) * inv * w[i] + b[i];
}

// One block a row: loss and gradient of the mean.
extern "C" __global__ void cross_entropy(const float* logits, const int* target, float* loss, bf16* grad, int rows, int classes) {
  __shared__ float part[32];
  const float* r = logits + (size_t)blockIdx.x * classes;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  auto reduce = [&](float v, bool largest) {
    for (int o = 16; o > 0; o >>= 1) {
      float u = __shfl_xor_sync(~0u, v, o);
      v = largest ? fmaxf(v, u) : v + u;
    }
    __syncthreads();
    if (lane == 0) part[warp] = v;
    __syncthreads();
    v = part[0];
    for (int i = 1; i < warps; ++i) v = largest ? fmaxf(v, part[i]) : v + part[i];
    return v;
  };
  float m = -INFINITY, s = 0;
  for (int i = threadIdx.x; i < classes; i += blockDim.x) m = fmaxf(m, r[i]);
  m = reduce(m, true);
  for (int i = threadIdx.x; i < classes; i += blockDim.x) s += __expf(r[i] - m);
  s = reduce(s, false);
  const int t = target[blockIdx.x];
  for (int i = threadIdx.x; i < classes; i += blockDim.x)
    grad[(size_t)blockIdx.x * classes + i] = __float2bfloat16((__expf(r[i] - m) / s - (i == t ? 1.0f : 0.0f)) / rows);
  if (threadIdx.x == 0) loss[blockIdx.x] = logf(s) + m - r[t];
}

extern "C" __global__ void adamw(float* p, const bf16* g, float* m, float* v, int n, float lr, float beta1, float beta2, float eps, float decay, int step) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float grad = __bfloat162float(g[i]);
  const float mi = m[i] = beta1 * m[i] + (1 - beta1) * grad, vi = v[i] = beta2 * v[i] + (1 - beta2) * grad * grad;
  const float mh = mi / (1 - powf(beta1, step)), vh = vi / (1 - powf(beta2, step));
  p[i] -= lr * (mh / (sqrtf(vh) + eps) + decay * p[i]);
}

extern "C" __global__ void rope(__nv_bfloat162* x, int length, int heads, int half_dim) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= length * heads * half_dim) return;
  const int position = i / (heads * half_dim), d = i % half_dim;
  float s, c;
  sincosf(position * powf(10000.0f, -(float)d / half_dim), &s, &c);
  float2 v = __bfloat1622float2(x[i]);
  x[i] = __floats2bfloat162_rn(v.x * c - v.y * s, v.x * s + v.y * c);
}
