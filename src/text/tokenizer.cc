#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/nfc.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace qnext {

struct Tokenizer::Impl {
  AddedTokens added;
  std::optional<NfcNormalizer> normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  int32_t vocab_end;
  size_t longest;  // token, in bytes

  // `text` is valid UTF-8.
  void AppendPlain(std::string_view text, std::vector<int32_t>* ids) const {
    const std::optional<std::string> normalized = normalizer ? normalizer->Normalize(text) : std::nullopt;
    pre_tokenizer.Split(normalized ? *normalized : text, [&](std::string_view piece) { bpe.Encode(piece, ids); });
  }
};

Result<Tokenizer> Tokenizer::Load(const std::string& path) {
  QNEXT_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
  return Parse(text, path);
}

Result<Tokenizer> Tokenizer::Parse(const std::string& json_text, const std::string& path) {
  Result<TokenizerSpec> spec = ReadTokenizerSpec(json_text);
  if (!spec.ok()) return spec.status().WithContext(path);
  Result<PreTokenizer> pre_tokenizer = PreTokenizer::Create(spec->split_patterns);
  if (!pre_tokenizer.ok()) return pre_tokenizer.status().WithContext("pre_tokenizer").WithContext(path);
  Result<Bpe> bpe = Bpe::Create(spec->bpe);
  if (!bpe.ok()) return bpe.status().WithContext(path);

  auto vocab_end = static_cast<int32_t>(bpe->bytes().size());
  size_t longest = 1;
  for (const std::string_view bytes : bpe->bytes()) longest = std::max(longest, bytes.size());
  for (const AddedToken& token : spec->added_tokens) {
    vocab_end = std::max(vocab_end, token.id + 1);
    longest = std::max(longest, token.content.size());
  }
  std::optional<NfcNormalizer> normalizer;
  if (spec->nfc) normalizer.emplace();
  return Tokenizer(std::unique_ptr<Impl>(new Impl{AddedTokens(std::move(spec->added_tokens)), std::move(normalizer),
                                                  std::move(*pre_tokenizer), std::move(*bpe), vocab_end, longest}));
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const {
  std::string repaired;
  if (!IsValidUtf8(text)) {
    repaired = ReplaceInvalidUtf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  size_t at = 0;
  while (const auto match = impl_->added.Find(text, at)) {
    impl_->AppendPlain(text.substr(at, match->begin - at), &ids);
    ids.push_back(match->id);
    at = match->end;
  }
  impl_->AppendPlain(text.substr(at), &ids);
  return ids;
}

std::vector<int32_t> Tokenizer::EncodePlain(std::string_view text) const {
  std::vector<int32_t> ids;
  if (IsValidUtf8(text)) {
    impl_->AppendPlain(text, &ids);
  } else {
    impl_->AppendPlain(ReplaceInvalidUtf8(text), &ids);
  }
  return ids;
}

int64_t Tokenizer::LeastTokens(std::string_view text) const {
  const size_t size = impl_->normalizer ? LeastNfcSize(text) : text.size();  // repairing UTF-8 shortens nothing
  return static_cast<int64_t>((size + impl_->longest - 1) / impl_->longest);
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  if (const AddedToken* token = impl_->added.ById(id)) return token->content;
  if (id < 0 || static_cast<size_t>(id) >= impl_->bpe.bytes().size()) return {};
  return impl_->bpe.bytes()[static_cast<size_t>(id)];
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const AddedToken* token = impl_->added.ById(id);
  return token != nullptr && token->special;
}

bool Tokenizer::IsAdded(int32_t id) const { return impl_->added.ById(id) != nullptr; }

std::optional<int32_t> Tokenizer::FindAdded(std::string_view content) const { return impl_->added.ByContent(content); }

int32_t Tokenizer::vocab_end() const { return impl_->vocab_end; }

std::string Tokenizer::Decode(const std::vector<int32_t>& ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (!skip_special || !IsSpecial(id)) bytes.append(TokenBytes(id));
  }
  return IsValidUtf8(bytes) ? bytes : ReplaceInvalidUtf8(bytes);
}

}  // namespace qnext
