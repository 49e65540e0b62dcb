// The messages of a chat request, as the template will see them.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "server/field_reader.h"

namespace qnext::server {

// Fills `out`, an object, with "messages" and with the members of chat_template_kwargs. Text parts are joined into one
// string, "developer" becomes "system"; what a message says and the template could not show is refused.
void ReadTemplateVariables(FieldReader& fields, FirstError& errors, nlohmann::ordered_json& out);

}  // namespace qnext::server
