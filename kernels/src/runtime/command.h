// One entry of a stream: an op with its operands and attributes behind it in one block of memory, or a task.
#pragma once
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>

#include "op.h"

namespace shakti {

struct Command {
  const Op* op = nullptr;  // null: a task
  Args args{};
  double* attrs = nullptr;  // what args.attrs reads
  std::function<void()> task;

  struct Deleter {
    void operator()(Command* c) const {
      c->~Command();
      std::free(c);
    }
  };
  using Ptr = std::unique_ptr<Command, Deleter>;

  // A copy of what `args` points to; null when there is no memory.
  static Ptr of(const Op& op, const Args& args) {
    const size_t operands = static_cast<size_t>(args.n_in + args.n_out);
    const size_t attrs = static_cast<size_t>(args.n_attrs);
    void* memory = std::malloc(sizeof(Command) + operands * sizeof(Operand) + attrs * sizeof(double));
    if (memory == nullptr) return nullptr;
    Ptr c(new (memory) Command);
    auto* in = reinterpret_cast<Operand*>(c.get() + 1);
    c->attrs = reinterpret_cast<double*>(in + operands);
    std::memcpy(in, args.in, static_cast<size_t>(args.n_in) * sizeof(Operand));
    std::memcpy(in + args.n_in, args.out, static_cast<size_t>(args.n_out) * sizeof(Operand));
    std::memcpy(c->attrs, args.attrs, attrs * sizeof(double));
    c->op = &op;
    c->args = args;
    c->args.in = in;
    c->args.out = in + args.n_in;
    c->args.attrs = c->attrs;
    return c;
  }

  static Ptr of(std::function<void()> task) {
    void* memory = std::malloc(sizeof(Command));
    if (memory == nullptr) std::abort();
    Ptr c(new (memory) Command);
    c->task = std::move(task);
    return c;
  }
};

}  // namespace shakti
