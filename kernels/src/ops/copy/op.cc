// TEMPORARY
#include "../../runtime/op.h"
namespace shakti {
Status check_copy(const Args&a){(void)a;return {};}
Status check_fill(const Args&a){(void)a;return {};}
Status check_arange(const Args&a){(void)a;return {};}
Status check_cat(const Args&a){(void)a;return {};}
}
