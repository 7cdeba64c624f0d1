// TEMPORARY
#include <cmath>
#include <cstring>
#include "../../runtime/op.h"
namespace SHAKTI_ISA_NS {
namespace {
using T = double;
inline float h2f(unsigned short h){unsigned s=(h>>15)&1,e=(h>>10)&31,m=h&1023;if(e==0){float f=m*5.9604644775390625e-8f;return s?-f:f;}unsigned u=(s<<31)|((e==31?255:e+112)<<23)|(m<<13);float f;memcpy(&f,&u,4);return f;}
inline double get(const Operand&o,int64_t at){switch(o.dtype){case DType::f32:return o.ptr<float>()[at];case DType::f64:return o.ptr<double>()[at];case DType::i32:return o.ptr<int32_t>()[at];case DType::i64:return (double)o.ptr<int64_t>()[at];case DType::bf16:{unsigned u=(unsigned)o.ptr<unsigned short>()[at]<<16;float f;memcpy(&f,&u,4);return f;}case DType::f16:return h2f(o.ptr<unsigned short>()[at]);default:return o.ptr<unsigned char>()[at];}}
inline void put(const Operand&o,int64_t at,double v){switch(o.dtype){case DType::f32:o.ptr<float>()[at]=(float)v;break;case DType::f64:o.ptr<double>()[at]=v;break;case DType::i32:o.ptr<int32_t>()[at]=(int32_t)(v!=v?0:v>2147483647?2147483647:v<-2147483648.0?-2147483648.0:v);break;case DType::i64:o.ptr<int64_t>()[at]=(int64_t)v;break;case DType::bf16:{float f=(float)v;unsigned u;memcpy(&u,&f,4);u+=0x7fff+((u>>16)&1);o.ptr<unsigned short>()[at]=u>>16;break;}case DType::f16:{_Float16 h=(_Float16)v;memcpy(o.ptr<unsigned short>()+at,&h,2);break;}case DType::boolean:o.ptr<unsigned char>()[at]=v!=0;break;default:o.ptr<unsigned char>()[at]=(unsigned char)v;}}
inline int64_t at(const Operand&o,const Operand&s,int64_t i){int64_t r=0;for(int d=s.ndim-1;d>=0;--d){r+=(i%s.shape[d])*o.strides[d];i/=s.shape[d];}return r;}
}
void run_sum(const Args&A,Context&){const Operand&x=A.in[0];Operand y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i)put(y,i,0);for(int d=0;d<y.ndim;++d)if(y.shape[d]==1)y.strides[d]=0;for(int64_t i=0,n=x.numel();i<n;++i){int64_t p=at(y,x,i);put(y,p,get(y,p)+get(x,at(x,x,i)));}}
}
