// Package jaegers is being written.
package jaegers
