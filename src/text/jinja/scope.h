// Name resolution: which variable each name of a template means.
//
// Jinja decides this when it compiles: every scope (template, loop body, macro, block) gets its own copy of each name
// assigned in it, made when the scope is entered; `if` has no scope; a name that is only read comes from the nearest
// scope that has it, or from the context. What looks odd at run time (a name that is assigned later in the template is
// undefined before, even if the context has it) follows from that, so the same decisions are made here.
#pragma once

#include "text/jinja/ast.h"

namespace qnext::jinja {

// Fills in all slots and scope plans. Throws TemplateError for what Jinja refuses when compiling.
TemplateTree ResolveNames(Block body);

}  // namespace qnext::jinja
