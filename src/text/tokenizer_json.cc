#include "text/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/clip.h"
#include "base/json_guard.h"
#include "text/byte_level.h"
#include "text/json_keys.h"

namespace qnext {
namespace {

using nlohmann::json;

// What a plain ByteLevel pre-tokenizer splits with.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Status CheckObject(const json& value, std::string_view where, std::initializer_list<std::string_view> known) {
  if (!value.is_object()) return Corrupt(fmt::format("{}: not an object", where));
  for (const auto& [key, unused] : value.items()) {
    if (std::ranges::find(known, key) == known.end())
      return Unsupported(fmt::format("{}.{}: not known, so not supported", where, Clip(key)));
  }
  return {};
}

// The field, or null where it is missing.
const json& Field(const json& object, const char* name) {
  static const json kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

json* Find(json* object, const char* name) {
  const auto found = object->find(name);
  return found == object->end() ? nullptr : &*found;
}

Result<std::string> StringField(const json& object, std::string_view where, const char* name) {
  const json& value = Field(object, name);
  if (!value.is_string()) return Corrupt(fmt::format("{}.{}: missing or not a string", where, name));
  return value.get<std::string>();
}

Result<bool> BoolField(const json& object, std::string_view where, const char* name) {
  const json& value = Field(object, name);
  if (!value.is_boolean()) return Corrupt(fmt::format("{}.{}: missing or not a boolean", where, name));
  return value.get<bool>();
}

Status RequireFalse(const json& object, std::string_view where, const char* name) {
  QNEXT_ASSIGN_OR_RETURN(const bool value, BoolField(object, where, name));
  return value ? Unsupported(fmt::format("{}.{}: true is not supported", where, name)) : Status();
}

Status RequireNull(const json& object, std::string_view where, const char* name) {
  return Field(object, name).is_null() ? Status()
                                       : Unsupported(fmt::format("{}.{}: only null is supported", where, name));
}

Result<std::string> TypeOf(const json& value, std::string_view where) {
  if (!value.is_object()) return Corrupt(fmt::format("{}: not an object", where));
  return StringField(value, where, "type");
}

Status ReadNormalizer(const json& value, TokenizerSpec* spec) {
  if (value.is_null()) return {};
  QNEXT_ASSIGN_OR_RETURN(const std::string type, TypeOf(value, "normalizer"));
  if (type != "NFC") return Unsupported(fmt::format("normalizer.type: \"{}\" is not supported", Clip(type)));
  spec->nfc = true;
  return CheckObject(value, "normalizer", {"type"});
}

Status ReadSplit(const json& value, const std::string& where, TokenizerSpec* spec) {
  QNEXT_RETURN_IF_ERROR(CheckObject(value, where, {"type", "pattern", "behavior", "invert"}));
  const std::string pattern_where = where + ".pattern";
  QNEXT_RETURN_IF_ERROR(CheckObject(Field(value, "pattern"), pattern_where, {"Regex"}));
  QNEXT_ASSIGN_OR_RETURN(const std::string pattern, StringField(Field(value, "pattern"), pattern_where, "Regex"));
  QNEXT_ASSIGN_OR_RETURN(const std::string behavior, StringField(value, where, "behavior"));
  if (behavior != "Isolated")
    return Unsupported(fmt::format("{}.behavior: \"{}\" is not supported", where, Clip(behavior)));
  QNEXT_RETURN_IF_ERROR(RequireFalse(value, where, "invert"));
  spec->split_patterns.push_back(pattern);
  return {};
}

Status ReadByteLevel(const json& value, const std::string& where, TokenizerSpec* spec) {
  QNEXT_RETURN_IF_ERROR(CheckObject(value, where, {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
  QNEXT_RETURN_IF_ERROR(RequireFalse(value, where, "add_prefix_space"));
  bool use_regex = true;
  if (!Field(value, "use_regex").is_null()) {
    QNEXT_ASSIGN_OR_RETURN(use_regex, BoolField(value, where, "use_regex"));
  }
  if (use_regex) spec->split_patterns.emplace_back(kByteLevelPattern);
  return {};
}

// Some Splits, then one ByteLevel: the order in which they cut text before they spell its bytes.
Status ReadPreTokenizer(const json& value, TokenizerSpec* spec) {
  std::vector<std::pair<std::string, const json*>> steps;
  QNEXT_ASSIGN_OR_RETURN(const std::string type, TypeOf(value, "pre_tokenizer"));
  if (type == "Sequence") {
    QNEXT_RETURN_IF_ERROR(CheckObject(value, "pre_tokenizer", {"type", "pretokenizers"}));
    const json& list = Field(value, "pretokenizers");
    if (!list.is_array()) return Corrupt("pre_tokenizer.pretokenizers: missing or not an array");
    for (const json& step : list) {
      steps.emplace_back(fmt::format("pre_tokenizer.pretokenizers[{}]", steps.size()), &step);
    }
  } else {
    steps.emplace_back("pre_tokenizer", &value);
  }
  bool byte_level = false;
  for (const auto& [where, step] : steps) {
    QNEXT_ASSIGN_OR_RETURN(const std::string step_type, TypeOf(*step, where));
    if (byte_level) return Unsupported(fmt::format("{}: a step after ByteLevel is not supported", where));
    if (step_type == "Split") {
      QNEXT_RETURN_IF_ERROR(ReadSplit(*step, where, spec));
    } else if (step_type == "ByteLevel") {
      QNEXT_RETURN_IF_ERROR(ReadByteLevel(*step, where, spec));
      byte_level = true;
    } else {
      return Unsupported(fmt::format("{}.type: \"{}\" is not supported", where, Clip(step_type)));
    }
  }
  return byte_level ? Status() : Unsupported("pre_tokenizer: one without ByteLevel is not supported");
}

// A ByteLevel post-processor moves offsets only, which nobody asks for here.
Status CheckPostProcessor(const json& value) {
  if (value.is_null()) return {};
  QNEXT_ASSIGN_OR_RETURN(const std::string type, TypeOf(value, "post_processor"));
  if (type != "ByteLevel") return Unsupported(fmt::format("post_processor.type: \"{}\" is not supported", Clip(type)));
  return CheckObject(value, "post_processor", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
}

Status CheckDecoder(const json& value) {
  if (value.is_null()) return Unsupported("decoder: null is not supported");
  QNEXT_ASSIGN_OR_RETURN(const std::string type, TypeOf(value, "decoder"));
  if (type != "ByteLevel") return Unsupported(fmt::format("decoder.type: \"{}\" is not supported", Clip(type)));
  return CheckObject(value, "decoder", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
}

Status ReadVocabulary(const json& vocab, BpeSpec* bpe) {
  if (!vocab.is_object()) return Corrupt("model.vocab: missing or not an object");
  // As many ids as pieces, all different and none too high: then they are 0, 1, 2 and so on.
  bpe->pieces.resize(vocab.size());
  std::vector<bool> taken(vocab.size());
  for (const auto& [piece, id] : vocab.items()) {
    if (!id.is_number_unsigned()) return Corrupt(fmt::format("model.vocab: \"{}\": not an id", Clip(piece)));
    const auto index = id.get<uint64_t>();
    if (index >= taken.size()) {
      return Corrupt(fmt::format("model.vocab: \"{}\": id {} with {} pieces", Clip(piece), index, taken.size()));
    }
    if (taken[index]) return Corrupt(fmt::format("model.vocab: \"{}\": id {} is taken", Clip(piece), index));
    taken[index] = true;
    bpe->pieces[index] = piece;
  }
  return {};
}

// Takes the strings out of `merges`: there are hundreds of thousands.
Status ReadMerges(json* merges, BpeSpec* bpe) {
  if (merges == nullptr || !merges->is_array()) return Corrupt("model.merges: missing or not an array");
  bpe->merges.reserve(merges->size());
  for (size_t rank = 0; rank < merges->size(); ++rank) {
    json& merge = (*merges)[rank];
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      bpe->merges.emplace_back(std::move(merge[0].get_ref<std::string&>()),
                               std::move(merge[1].get_ref<std::string&>()));
      continue;
    }
    const std::string* text = merge.get_ptr<const std::string*>();
    if (text == nullptr || std::ranges::count(*text, ' ') != 1) {
      return Corrupt(fmt::format("model.merges: {}: neither two strings nor one with one space", rank));
    }
    const size_t space = text->find(' ');
    bpe->merges.emplace_back(text->substr(0, space), text->substr(space + 1));
  }
  return {};
}

Status ReadModel(json* document, BpeSpec* bpe) {
  if (document == nullptr) return Corrupt("model: missing");
  const json& model = *document;
  QNEXT_RETURN_IF_ERROR(CheckObject(model, "model",
                                    {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                                     "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"}));
  if (!Field(model, "type").is_null()) {
    QNEXT_ASSIGN_OR_RETURN(const std::string type, StringField(model, "model", "type"));
    if (type != "BPE") return Unsupported(fmt::format("model.type: \"{}\" is not supported", Clip(type)));
  }
  QNEXT_RETURN_IF_ERROR(RequireNull(model, "model", "dropout"));
  QNEXT_RETURN_IF_ERROR(RequireNull(model, "model", "unk_token"));
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!Field(model, name).is_null() && Field(model, name) != "") {
      return Unsupported(fmt::format("model.{}: one that is not empty is not supported", name));
    }
  }
  for (const char* name : {"fuse_unk", "byte_fallback"}) {
    if (!Field(model, name).is_null()) QNEXT_RETURN_IF_ERROR(RequireFalse(model, "model", name));
  }
  if (!Field(model, "ignore_merges").is_null()) {
    QNEXT_ASSIGN_OR_RETURN(bpe->ignore_merges, BoolField(model, "model", "ignore_merges"));
  }
  QNEXT_RETURN_IF_ERROR(ReadVocabulary(Field(model, "vocab"), bpe));
  return ReadMerges(Find(document, "merges"), bpe);
}

Status ReadAddedToken(const json& value, const std::string& where, AddedToken* token) {
  QNEXT_RETURN_IF_ERROR(
      CheckObject(value, where, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}));
  const json& id = Field(value, "id");
  if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
    return Corrupt(fmt::format("{}.id: missing or not an id", where));
  }
  token->id = static_cast<int32_t>(id.get<uint64_t>());
  QNEXT_ASSIGN_OR_RETURN(token->content, StringField(value, where, "content"));
  QNEXT_ASSIGN_OR_RETURN(token->special, BoolField(value, where, "special"));
  for (const char* name : {"single_word", "lstrip", "rstrip", "normalized"}) {
    QNEXT_RETURN_IF_ERROR(RequireFalse(value, where, name));
  }
  if (token->content.empty()) return Corrupt(fmt::format("{}.content: empty", where));
  // The decoder would turn such a content into other bytes than it matches.
  const std::optional<std::string> decoded = BytesFromSpelling(token->content);
  if (decoded && *decoded != token->content) {
    return Unsupported(fmt::format("{}.content: \"{}\" is spelled in the byte-level alphabet, which is not supported",
                                   where, Clip(token->content)));
  }
  return {};
}

Status ReadAddedTokens(const json& list, TokenizerSpec* spec) {
  if (list.is_null()) return {};
  if (!list.is_array()) return Corrupt("added_tokens: not an array");
  std::unordered_map<std::string_view, size_t> id_of;
  for (size_t id = 0; id < spec->bpe.pieces.size(); ++id) id_of.emplace(spec->bpe.pieces[id], id);
  std::unordered_set<std::string> contents;
  size_t next_id = spec->bpe.pieces.size();
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("added_tokens[{}]", i);
    AddedToken token;
    QNEXT_RETURN_IF_ERROR(ReadAddedToken(list[i], where, &token));
    if (!contents.insert(token.content).second) {
      return Corrupt(fmt::format("{}.content: \"{}\" is there twice", where, Clip(token.content)));
    }
    // The Python package numbers added tokens itself, whatever the file says; a file that says otherwise would get
    // other ids there than here.
    const auto in_vocab = id_of.find(token.content);
    const size_t expected = in_vocab == id_of.end() ? next_id++ : in_vocab->second;
    if (static_cast<size_t>(token.id) != expected) {
      return Corrupt(fmt::format("{}.id: {} for \"{}\", which the tokens before it make {}", where, token.id,
                                 Clip(token.content), expected));
    }
    spec->added_tokens.push_back(std::move(token));
  }
  return {};
}

Result<TokenizerSpec> ReadRoot(json* document) {
  const json& root = *document;
  QNEXT_RETURN_IF_ERROR(CheckObject(root, "tokenizer",
                                    {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                                     "post_processor", "decoder", "model"}));
  const json& version = Field(root, "version");
  if (!version.is_null() && version != "1.0") return Unsupported("version: only \"1.0\" is supported");
  TokenizerSpec spec;
  QNEXT_RETURN_IF_ERROR(RequireNull(root, "tokenizer", "truncation"));
  QNEXT_RETURN_IF_ERROR(RequireNull(root, "tokenizer", "padding"));
  QNEXT_RETURN_IF_ERROR(ReadNormalizer(Field(root, "normalizer"), &spec));
  QNEXT_RETURN_IF_ERROR(ReadPreTokenizer(Field(root, "pre_tokenizer"), &spec));
  QNEXT_RETURN_IF_ERROR(CheckPostProcessor(Field(root, "post_processor")));
  QNEXT_RETURN_IF_ERROR(CheckDecoder(Field(root, "decoder")));
  QNEXT_RETURN_IF_ERROR(ReadModel(Find(document, "model"), &spec.bpe));
  QNEXT_RETURN_IF_ERROR(ReadAddedTokens(Field(root, "added_tokens"), &spec));
  return spec;
}

}  // namespace

Result<TokenizerSpec> ReadTokenizerSpec(const std::string& json_text) {
  QNEXT_RETURN_IF_ERROR(CheckJsonLimits(json_text));
  QNEXT_RETURN_IF_ERROR(CheckJsonKeys(json_text));
  json root = json::parse(json_text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return Corrupt("not valid JSON");
  return ReadRoot(&root);
}

}  // namespace qnext
