// What a template calls that this engine does not have, found before anything is rendered.
#pragma once

#include "text/jinja/ast.h"

namespace qnext::jinja {

// Throws TemplateError (kUnsupported, with construct and line) for a call of an unknown function or method, for a
// filter or test that `map`, `select` and their like name in a literal, and for Jinja's names this engine lacks.
//
// A function is known if it is one of the environment's or if the template assigns its name or asks whether it is
// defined; a method, if some type has it or if the template stores an attribute of that name.
void CheckNames(Block& body);

}  // namespace qnext::jinja
