// How the fields of a quantization configuration pick modules: regular expressions, and lists of names.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/status.h"

namespace qnext {

// A compiled regular expression with bounded matching. Immutable; thread-safe; copies share the compiled form.
class ModulePattern {
 public:
  enum class Anchor {
    kStart,     // must match from the first character of the name (Python's re.match)
    kAnywhere,  // re.search
  };

  // InvalidArgument when `text` is no regular expression, or longer than 4096 bytes.
  static Result<ModulePattern> Compile(const std::string& text, Anchor anchor);

  // ResourceExhausted when matching would take more than a fixed number of steps.
  Result<bool> Matches(std::string_view name) const;

  const std::string& text() const { return text_; }

 private:
  struct Code;

  std::string text_;
  Anchor anchor_ = Anchor::kStart;
  std::shared_ptr<const Code> code_;
};

// Whether `text` can only be meant as a regular expression: it has a character that module names do not.
bool LooksLikePattern(std::string_view text);

// A list such as modules_to_not_convert. A plain entry picks a module when it is a run of whole components of the
// module's name: "mlp.gate" picks "model.layers.0.mlp.gate" but not "model.layers.0.mlp.gate_proj". An entry with
// characters of a regular expression is one, anchored at the start. Immutable after Add; thread-safe.
class ModuleNameList {
 public:
  Status Add(const std::string& entry);
  bool empty() const { return names_.empty() && patterns_.empty(); }
  Result<bool> Matches(std::string_view module) const;

 private:
  std::unordered_set<std::string> names_;
  std::vector<ModulePattern> patterns_;
};

}  // namespace qnext
