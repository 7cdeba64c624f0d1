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
void run_neg(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),-x);}}
void run_abs(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::fabs(x));}}
void run_sign(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),(T)((x>0)-(x<0)));}}
void run_square(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),x*x);}}
void run_reciprocal(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),1/x);}}
void run_sqrt(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::sqrt(x));}}
void run_rsqrt(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),1/std::sqrt(x));}}
void run_exp(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::exp(x));}}
void run_expm1(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::expm1(x));}}
void run_log(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::log(x));}}
void run_log1p(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::log1p(x));}}
void run_sin(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::sin(x));}}
void run_cos(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::cos(x));}}
void run_tanh(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::tanh(x));}}
void run_erf(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::erf(x));}}
void run_sigmoid(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),1/(1+std::exp(-x)));}}
void run_relu(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),x>0?x:0*x);}}
void run_gelu(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),0.5*x*(1+std::erf(x*0.70710678118654752)));}}
void run_gelu_tanh(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),0.5*x*(1+std::tanh(0.79788456080286536*(x+0.044715*x*x*x))));}}
void run_silu(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),x/(1+std::exp(-x)));}}
void run_floor(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::floor(x));}}
void run_ceil(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::ceil(x));}}
void run_round(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double x=get(a.in[0],at(a.in[0],y,i));put(y,at(y,y,i),std::nearbyint(x));}}
void run_logical_not(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i)put(y,i,get(a.in[0],at(a.in[0],y,i))==0);}
void run_isfinite(const Args&a,Context&){const Operand&y=a.out[0];for(int64_t i=0,n=y.numel();i<n;++i)put(y,i,std::isfinite(get(a.in[0],at(a.in[0],y,i))));}
void run_add(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a+b);}}
void run_sub(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a-b);}}
void run_mul(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a*b);}}
void run_div(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a/b);}}
void run_pow(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),std::pow(a,b));}}
void run_maximum(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),(a!=a)?a:(a>b||b!=b?(b!=b?b:a):b));}}
void run_minimum(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),(a!=a)?a:(a<b||b!=b?(b!=b?b:a):b));}}
void run_eq(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a==b);}}
void run_ne(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a!=b);}}
void run_lt(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a<b);}}
void run_le(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a<=b);}}
void run_gt(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a>b);}}
void run_ge(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),a>=b);}}
void run_logical_and(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),(a!=0)&&(b!=0));}}
void run_logical_or(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double a=get(A.in[0],at(A.in[0],y,i)),b=A.in[1].present()?get(A.in[1],at(A.in[1],y,i)):A.attr(0);if(!A.in[1].present()&&A.attr_bool(1)){double t=a;a=b;b=t;}put(y,at(y,y,i),(a!=0)||(b!=0));}}
void run_relu_backward(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double g=get(A.in[0],at(A.in[0],y,i)),x=get(A.in[1],at(A.in[1],y,i));put(y,i,x>0?g:0*g);}}
void run_gelu_backward(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double g=get(A.in[0],at(A.in[0],y,i)),x=get(A.in[1],at(A.in[1],y,i));put(y,i,g*(0.5*(1+std::erf(x*0.70710678118654752))+x*std::exp(-0.5*x*x)*0.39894228040143268));}}
void run_gelu_tanh_backward(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double g=get(A.in[0],at(A.in[0],y,i)),x=get(A.in[1],at(A.in[1],y,i));put(y,i,[&]{double u=0.79788456080286536*(x+0.044715*x*x*x),t=std::tanh(u);return g*(0.5*(1+t)+0.5*x*(1-t*t)*0.79788456080286536*(1+3*0.044715*x*x));}());}}
void run_silu_backward(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double g=get(A.in[0],at(A.in[0],y,i)),x=get(A.in[1],at(A.in[1],y,i));put(y,i,[&]{double s=1/(1+std::exp(-x));return g*(s*(1+x*(1-s)));}());}}
void run_tanh_backward(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double g=get(A.in[0],at(A.in[0],y,i)),x=get(A.in[1],at(A.in[1],y,i));put(y,i,g*(1-x*x));}}
void run_sigmoid_backward(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double g=get(A.in[0],at(A.in[0],y,i)),x=get(A.in[1],at(A.in[1],y,i));put(y,i,g*x*(1-x));}}
void run_where(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){bool c=get(A.in[0],at(A.in[0],y,i))!=0;int k=c?1:2;put(y,i,A.in[k].present()?get(A.in[k],at(A.in[k],y,i)):A.attr(k-1));}}
void run_clamp(const Args&A,Context&){const Operand&y=A.out[0];for(int64_t i=0,n=y.numel();i<n;++i){double v=get(A.in[0],at(A.in[0],y,i));put(y,i,v<A.attr(0)?A.attr(0):v>A.attr(1)?A.attr(1):v);}}
}
