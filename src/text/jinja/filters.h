// The filters, by family; filters.cc has the table.
#pragma once

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja::filters {

#define QNEXT_FILTER(Name) Value Name(Runtime& rt, const Value& input, const Arguments& arguments)

// text_filters.cc
QNEXT_FILTER(Capitalize);
QNEXT_FILTER(Center);
QNEXT_FILTER(EscapeFilter);
QNEXT_FILTER(ForceEscape);
QNEXT_FILTER(FormatFilter);
QNEXT_FILTER(Indent);
QNEXT_FILTER(Lower);
QNEXT_FILTER(Replace);
QNEXT_FILTER(Safe);
QNEXT_FILTER(String);
QNEXT_FILTER(Title);
QNEXT_FILTER(ToJson);
QNEXT_FILTER(Trim);
QNEXT_FILTER(Truncate);
QNEXT_FILTER(Upper);
QNEXT_FILTER(UrlEncode);
QNEXT_FILTER(WordCount);
QNEXT_FILTER(XmlAttributes);

// sequence_filters.cc
QNEXT_FILTER(DictSort);
QNEXT_FILTER(First);
QNEXT_FILTER(GroupBy);
QNEXT_FILTER(JoinFilter);
QNEXT_FILTER(Last);
QNEXT_FILTER(Length);
QNEXT_FILTER(ListFilter);
QNEXT_FILTER(Max);
QNEXT_FILTER(Min);
QNEXT_FILTER(Reverse);
QNEXT_FILTER(Sort);
QNEXT_FILTER(Sum);

// lazy_filters.cc: those whose result is an iterator
QNEXT_FILTER(Batch);
QNEXT_FILTER(Items);
QNEXT_FILTER(Map);
QNEXT_FILTER(Reject);
QNEXT_FILTER(RejectAttribute);
QNEXT_FILTER(Select);
QNEXT_FILTER(SelectAttribute);
QNEXT_FILTER(Slice);
QNEXT_FILTER(Unique);

// value_filters.cc
QNEXT_FILTER(Absolute);
QNEXT_FILTER(Attribute);
QNEXT_FILTER(Default);
QNEXT_FILTER(FileSize);
QNEXT_FILTER(FloatFilter);
QNEXT_FILTER(IntFilter);
QNEXT_FILTER(RoundFilter);

#undef QNEXT_FILTER

}  // namespace qnext::jinja::filters
