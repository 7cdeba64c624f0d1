// TEMPORARY
#include "../../runtime/op.h"
namespace shakti {
Status check_matmul(const Args&a){(void)a;return {};}
size_t workspace_matmul(const Args&a){(void)a;return 0;}
}
