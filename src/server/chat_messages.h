// The messages and tools of a chat, from a request or a file, as the template will see them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "server/field_reader.h"

namespace qnext::server {

// How much a message must hold. A client of the API answers what it received, ids and texts of arguments included. A
// file may be written by hand or hold what the template wants: tool calls without ids, their arguments as an object,
// the name of the tool that answers.
enum class MessageForm : uint8_t { kApi, kFile };

// The array "messages". Text parts are joined into one string, "developer" becomes "system"; what a message says and
// the template could not show is refused.
nlohmann::ordered_json ReadMessages(FieldReader& fields, MessageForm form, FirstError& errors);

// The array "tools", as it is, once each is a function with a name; nullptr if absent or null.
const nlohmann::ordered_json* ReadTools(FieldReader& fields, FirstError& errors);

// Fills `out`, an object, with "messages" and with the members of chat_template_kwargs.
void ReadTemplateVariables(FieldReader& fields, FirstError& errors, nlohmann::ordered_json& out);

}  // namespace qnext::server
