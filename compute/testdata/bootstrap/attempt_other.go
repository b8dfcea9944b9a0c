//go:build !linux

package main

import "errors"

func attempt(string, string) (any, error) { return nil, errors.New("only on Linux") }

func suffer(string) {}
