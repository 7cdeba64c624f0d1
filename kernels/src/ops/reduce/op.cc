// TEMPORARY
#include "../../runtime/op.h"
namespace shakti {
Status check_sum(const Args&a){(void)a;return {};}
size_t workspace_sum(const Args&a){(void)a;return 0;}
}
